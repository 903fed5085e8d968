#include "binding/environment.h"

#include <string>
#include <utility>

#include "binding/arguments.h"
#include "binding/mailbox.h"
#include "binding/storage.h"

namespace heedful {
namespace {

// buffer.constants.MAX_LENGTH. Asking for a longer external ArrayBuffer is dangerous: Node 20 runs the
// finalizer and returns an error. 4 GiB, the smallest limit of any supported version, when it cannot be
// found.
size_t FindLargestArrayBuffer(Napi::Env env) {
  try {
    const auto process = env.Global().Get("process").As<Napi::Object>();
    const auto require = process.Get("getBuiltinModule").As<Napi::Function>();
    const auto buffer = require.Call(process, {Napi::String::New(env, "node:buffer")}).As<Napi::Object>();
    const double limit =
        buffer.Get("constants").As<Napi::Object>().Get("MAX_LENGTH").As<Napi::Number>().DoubleValue();
    if (limit > 0 && limit <= static_cast<double>(kMaxSafeInteger)) return static_cast<size_t>(limit);
  } catch (const Napi::Error&) {
  }
  return static_cast<size_t>(int64_t{4} << 30);
}

}  // namespace

void Environment::Create(Napi::Env env) {
  auto environment = std::make_shared<Environment>(env);
  env.SetInstanceData(new std::shared_ptr<Environment>(environment));
  // Hooks run last in, first out: this one before that of the mailbox's thread-safe function.
  env.AddCleanupHook([environment] { environment->Close(); });
}

std::shared_ptr<Environment> Environment::Of(Napi::Env env) {
  return *env.GetInstanceData<std::shared_ptr<Environment>>();
}

Environment::Environment(Napi::Env env)
    : pool_(ThreadPool::Shared()),
      mailbox_(std::make_shared<Mailbox>(env, *this)),
      largestArrayBuffer_(FindLargestArrayBuffer(env)) {}

uint64_t Environment::Run(std::shared_ptr<Program> program, Bindings bindings, int64_t rows,
                          Napi::Function done) {
  Napi::FunctionReference reference = Napi::Persistent(done);
  if (!executor_) executor_ = Executor::Shared();
  const uint64_t ticket = executor_->Queue(
      std::move(program), std::move(bindings), rows,
      [mailbox = mailbox_](uint64_t ticket, RunResult result) { mailbox->Send(ticket, std::move(result)); });
  if (pending_.empty()) mailbox_->KeepAlive(done.Env(), true);
  pending_.emplace(ticket, std::move(reference));
  return ticket;
}

void Environment::Abort(uint64_t ticket) {
  if (pending_.count(ticket)) executor_->Abort(ticket);
}

void Environment::Finish(Napi::Env env, uint64_t ticket, const RunResult& result) {
  const auto found = pending_.find(ticket);
  if (found == pending_.end()) return;
  const Napi::FunctionReference done = std::move(found->second);
  pending_.erase(found);
  if (pending_.empty()) mailbox_->KeepAlive(env, false);
  Napi::Value argument = env.Undefined();
  if (result.outcome == RunResult::kAborted) argument = env.Null();
  if (result.outcome == RunResult::kFailed) argument = ToJavaScript(env, result.message).Value();
  const napi_value arguments[] = {argument};
  if (napi_call_function(env, env.Undefined(), done.Value(), 1, arguments, nullptr) != napi_pending_exception)
    return;
  // Left pending it would only be warned of (DEP0168).
  napi_value thrown;
  if (napi_get_and_clear_last_exception(env, &thrown) == napi_ok) napi_fatal_exception(env, thrown);
}

void Environment::Close() {
  mailbox_->Close();
  if (executor_) {
    for (const auto& [ticket, done] : pending_) executor_->Abort(ticket);
  }
  pending_.clear();
  executor_.reset();
  pool_.reset();
}

}  // namespace heedful
