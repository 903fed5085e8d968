// Brings the results of runs from the executor's thread to the thread of an environment.
#pragma once

#include <napi.h>

#include <cstdint>
#include <mutex>

#include "program/executor.h"

namespace heedful {

class Environment;

class Mailbox {
 public:
  // The receiver is called as receiver.Finish(env, ticket, result); it must live until Close.
  Mailbox(Napi::Env env, Environment& receiver);

  // From any thread. After Close the message is dropped.
  void Send(uint64_t ticket, RunResult result);
  // On the thread of the environment. Nothing is sent any more once this has returned.
  void Close();
  // Whether the event loop waits for messages.
  void KeepAlive(Napi::Env env, bool on);

 private:
  static void Deliver(napi_env env, napi_value, void* context, void* data);

  Environment& receiver_;
  std::mutex mutex_;  // guards `function_`, so that no other thread is inside it when the environment ends
  napi_threadsafe_function function_ = nullptr;  // nullptr: closed
};

}  // namespace heedful
