#include "binding/program.h"

#include <utility>

#include "binding/arguments.h"

namespace heedful {

std::vector<double> CodeArgument(const Napi::CallbackInfo& info, size_t index) {
  const auto array =
      Argument<Napi::TypedArray>(info, index, "code", &Napi::Value::IsTypedArray, "a Float64Array");
  if (array.TypedArrayType() != napi_float64_array)
    throw Napi::TypeError::New(info.Env(), "code: expected a Float64Array");
  const auto numbers = array.As<Napi::Float64Array>();
  return {numbers.Data(), numbers.Data() + numbers.ElementLength()};
}

Napi::Function ProgramObject::Define(Napi::Env env) {
  return DefineClass(
      env, "NativeProgram",
      {InstanceAccessor<&ProgramObject::MemoryBytes>("memoryBytes"),
       InstanceMethod<&ProgramObject::Keep>("keep"), InstanceMethod<&ProgramObject::Run>("run"),
       InstanceMethod<&ProgramObject::Abort>("abort"), InstanceMethod<&ProgramObject::RunSync>("runSync"),
       InstanceMethod<&ProgramObject::Profile>("profile"),
       InstanceMethod<&ProgramObject::SetProfiling>("setProfiling"),
       InstanceMethod<&ProgramObject::Dispose>("dispose")});
}

ProgramObject::ProgramObject(const Napi::CallbackInfo& info) : Napi::ObjectWrap<ProgramObject>(info) {
  const std::vector<double> code = CodeArgument(info, 0);
  ProgramLimits limits;
  limits.arenaBytes = IntegerArgument(info, 1, "arenaBytes", 0, kMaxSafeInteger);
  limits.bindings = static_cast<int>(IntegerArgument(info, 2, "bindings", 0, 1 << 24));
  limits.capacity = IntegerArgument(info, 3, "capacity", 0, int64_t{1} << 32);
  const int64_t commitIndex = IntegerArgument(info, 4, "commitIndex", 0, kMaxSafeInteger);
  environment_ = Environment::Of(info.Env());
  Guard(info.Env(),
        [&] { program_ = std::make_shared<Program>(code.data(), code.size(), limits, commitIndex); });
  environment_->programs().insert(this);
  toldBytes_ = limits.arenaBytes;
  Napi::MemoryManagement::AdjustExternalMemory(info.Env(), toldBytes_);
}

void ProgramObject::Finalize(Napi::Env env) {
  environment_->programs().erase(this);
  Release(env);
}

void ProgramObject::Release(Napi::Env env) {
  program_.reset();
  const int64_t bytes = std::exchange(toldBytes_, 0);
  if (bytes) Napi::MemoryManagement::AdjustExternalMemory(env, -bytes);
}

const std::shared_ptr<Program>& ProgramObject::Get() const {
  HEEDFUL_CHECK(program_, "program is disposed");
  return program_;
}

Napi::Value ProgramObject::MemoryBytes(const Napi::CallbackInfo& info) {
  CheckThis(info, Environment::Of(info.Env())->programs(), this);
  return Napi::Number::New(info.Env(), program_ ? static_cast<double>(program_->memoryBytes()) : 0);
}

void ProgramObject::Keep(const Napi::CallbackInfo& info) {
  const Bindings bindings = BindingsArgument(info, 0, *environment_);
  kept_.assign(bindings.begin(), bindings.end());
}

Bindings ProgramObject::AllBindings(const Napi::CallbackInfo& info) {
  Bindings given = BindingsArgument(info, 0, *environment_);
  return Guard(info.Env(), [&] {
    Bindings all;
    all.reserve(kept_.size() + given.size());
    for (const std::weak_ptr<AlignedBuffer>& kept : kept_) {
      all.push_back(kept.lock());
      HEEDFUL_CHECK(all.back(), "run: a storage that the program keeps is disposed");
    }
    for (auto& binding : given) all.push_back(std::move(binding));
    return all;
  });
}

Napi::Value ProgramObject::Run(const Napi::CallbackInfo& info) {
  Bindings bindings = AllBindings(info);
  const int64_t rows = IntegerArgument(info, 1, "rows", 0, kMaxSafeInteger);
  const auto done = Argument<Napi::Function>(info, 2, "done", &Napi::Value::IsFunction, "a function");
  return Guard(info.Env(), [&]() -> Napi::Value {
    const uint64_t ticket = environment_->Run(Get(), std::move(bindings), rows, done);
    return Napi::Number::New(info.Env(), static_cast<double>(ticket));
  });
}

void ProgramObject::Abort(const Napi::CallbackInfo& info) {
  environment_->Abort(static_cast<uint64_t>(IntegerArgument(info, 0, "ticket", 0, kMaxSafeInteger)));
}

void ProgramObject::RunSync(const Napi::CallbackInfo& info) {
  const Bindings bindings = AllBindings(info);
  const int64_t rows = IntegerArgument(info, 1, "rows", 0, kMaxSafeInteger);
  Guard(info.Env(), [&] { Get()->Run(bindings, rows, nullptr, environment_->pool()); });
}

Napi::Value ProgramObject::Profile(const Napi::CallbackInfo& info) {
  return Guard(info.Env(), [&]() -> Napi::Value {
    const std::vector<Program::Figures> figures = Get()->Profile();
    auto result = Napi::Float64Array::New(info.Env(), 2 * figures.size());
    for (size_t i = 0; i < figures.size(); ++i) {
      result[2 * i] = static_cast<double>(figures[i].nanoseconds);
      result[2 * i + 1] = static_cast<double>(figures[i].calls);
    }
    return result;
  });
}

void ProgramObject::SetProfiling(const Napi::CallbackInfo& info) {
  const bool on = Argument<Napi::Boolean>(info, 0, "on", &Napi::Value::IsBoolean, "a boolean");
  Guard(info.Env(), [&] { Get()->SetProfiling(on); });
}

void ProgramObject::Dispose(const Napi::CallbackInfo& info) { Release(info.Env()); }

}  // namespace heedful
