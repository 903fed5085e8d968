#include "binding/mailbox.h"

#include <memory>
#include <utility>

#include "binding/environment.h"

namespace heedful {
namespace {

struct Message {
  uint64_t ticket;
  RunResult result;
};

}  // namespace

Mailbox::Mailbox(Napi::Env env, Environment& receiver) : receiver_(receiver) {
  const napi_status status =
      napi_create_threadsafe_function(env, nullptr, nullptr, Napi::String::New(env, "heedful"), 0, 1, nullptr,
                                      nullptr, &receiver_, Deliver, &function_);
  if (status != napi_ok) throw Napi::Error::New(env);
  KeepAlive(env, false);
}

void Mailbox::KeepAlive(Napi::Env env, bool on) {
  if (on)
    napi_ref_threadsafe_function(env, function_);
  else
    napi_unref_threadsafe_function(env, function_);
}

void Mailbox::Send(uint64_t ticket, RunResult result) {
  auto message = std::make_unique<Message>(Message{ticket, std::move(result)});
  std::lock_guard lock(mutex_);
  if (!function_) return;
  if (napi_call_threadsafe_function(function_, message.get(), napi_tsfn_nonblocking) == napi_ok)
    message.release();
}

void Mailbox::Close() {
  std::lock_guard lock(mutex_);
  if (function_) napi_release_threadsafe_function(function_, napi_tsfn_abort);
  function_ = nullptr;
}

// `env` is null when the environment ends with messages in the queue.
void Mailbox::Deliver(napi_env env, napi_value, void* context, void* data) {
  const std::unique_ptr<Message> message(static_cast<Message*>(data));
  if (env) static_cast<Environment*>(context)->Finish(env, message->ticket, message->result);
}

}  // namespace heedful
