// What one Node environment (the main thread or a Worker) holds.
#pragma once

#include <napi.h>

#include <cstdint>
#include <memory>
#include <unordered_map>
#include <unordered_set>

#include "program/executor.h"

namespace heedful {

class Storage;
class Mailbox;

class Environment {
 public:
  // Starts what a new environment needs; env.GetInstanceData gives it back through Of.
  static void Create(Napi::Env env);
  // Shared, because objects may be collected after the environment has gone.
  static std::shared_ptr<Environment> Of(Napi::Env env);

  explicit Environment(Napi::Env env);

  ThreadPool& pool() { return *pool_; }
  Workspace& workspace() { return workspace_; }
  size_t largestArrayBuffer() const { return largestArrayBuffer_; }

  // Queues a run. `done` is called on this environment's thread with undefined, an Error, or null after an
  // abort; until then the process stays alive. Not at all when the environment ends before.
  uint64_t Run(std::shared_ptr<Program> program, Bindings bindings, int64_t rows, Napi::Function done);
  // Tickets of other environments are ignored.
  void Abort(uint64_t ticket);

  // The native objects that live here. What claims to be one is looked up among them: JavaScript may call a
  // getter on any object, and pass any as an argument.
  std::unordered_set<const void*>& storages() { return storages_; }
  std::unordered_set<const void*>& programs() { return programs_; }

 private:
  friend class Mailbox;

  // The environment ends: forgets callbacks, aborts its runs, and lets go of the threads.
  void Close();
  void Finish(Napi::Env env, uint64_t ticket, const RunResult& result);

  std::shared_ptr<ThreadPool> pool_;
  std::shared_ptr<Executor> executor_;  // from the first run on
  std::shared_ptr<Mailbox> mailbox_;
  std::unordered_map<uint64_t, Napi::FunctionReference> pending_;
  std::unordered_set<const void*> storages_, programs_;
  Workspace workspace_;
  size_t largestArrayBuffer_;
};

// The objects behind an array of NativeStorage. TypeError for anything else, Error for a disposed one.
Bindings BindingsArgument(const Napi::CallbackInfo& info, size_t index, Environment& environment);

}  // namespace heedful
