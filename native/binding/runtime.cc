#include "binding/runtime.h"

#include <vector>

#include "binding/arguments.h"
#include "binding/environment.h"
#include "binding/program.h"
#include "runtime/cpu_features.h"
#include "runtime/dispatch.h"

namespace heedful {

Napi::Value Operations(Napi::Env env) {
  const std::vector<const OpInfo*>& operations = Operations();
  Napi::Array array = Napi::Array::New(env, operations.size());
  for (uint32_t i = 0; i < operations.size(); ++i) {
    Napi::Object operation = Napi::Object::New(env);
    operation.Set("name", operations[i]->name);
    operation.Set("inputs", operations[i]->inputs);
    operation.Set("outputs", operations[i]->outputs);
    operation.Set("attributes", operations[i]->attributes);
    operation.Freeze();
    array.Set(i, operation);
  }
  array.Freeze();
  return array;
}

#define HEEDFUL_NAME(name) #name,
Napi::Value DTypes(Napi::Env env) { return Strings(env, {"f32", "f64", "i32", "bf16"}); }
Napi::Value UnaryFunctions(Napi::Env env) { return Strings(env, {HEEDFUL_UNARY_FUNCTIONS(HEEDFUL_NAME)}); }
Napi::Value BinaryFunctions(Napi::Env env) { return Strings(env, {HEEDFUL_BINARY_FUNCTIONS(HEEDFUL_NAME)}); }
Napi::Value ReduceFunctions(Napi::Env env) { return Strings(env, {HEEDFUL_REDUCE_FUNCTIONS(HEEDFUL_NAME)}); }
Napi::Value CacheFormats(Napi::Env env) { return Strings(env, {HEEDFUL_CACHE_FORMATS(HEEDFUL_NAME)}); }
Napi::Value PanelFormats(Napi::Env env) { return Strings(env, {HEEDFUL_PANEL_FORMATS(HEEDFUL_NAME)}); }
#undef HEEDFUL_NAME

void ExecuteCode(const Napi::CallbackInfo& info) {
  const std::shared_ptr<Environment> environment = Environment::Of(info.Env());
  const std::vector<double> code = CodeArgument(info, 0);
  const Bindings bindings = BindingsArgument(info, 1, *environment);
  Guard(info.Env(),
        [&] { Execute(code.data(), code.size(), bindings, environment->workspace(), environment->pool()); });
}

Napi::Value LiveBytes(const Napi::CallbackInfo& info) {
  return Napi::Number::New(info.Env(), static_cast<double>(AlignedBuffer::LiveBytes()));
}

Napi::Value Isa(const Napi::CallbackInfo& info) { return Napi::String::New(info.Env(), Kernels().name); }

Napi::Value AvailableIsas(const Napi::CallbackInfo& info) {
  std::vector<const char*> names;
  for (const KernelTable* table : AvailableKernels()) names.push_back(table->name);
  return Strings(info.Env(), names);
}

void SetIsa(const Napi::CallbackInfo& info) {
  const auto name = Argument<Napi::String>(info, 0, "name", &Napi::Value::IsString, "a string");
  Guard(info.Env(), [&] { ForceKernels(name); });
}

Napi::Value Threads(const Napi::CallbackInfo& info) {
  return Napi::Number::New(info.Env(), Environment::Of(info.Env())->pool().wantedThreads());
}

void SetThreads(const Napi::CallbackInfo& info) {
  const int64_t threads = IntegerArgument(info, 0, "threads", 1, kMaxThreads);
  Guard(info.Env(), [&] { Environment::Of(info.Env())->pool().SetThreads(static_cast<int>(threads)); });
}

Napi::Value CacheBytes(const Napi::CallbackInfo& info) {
  const CacheSizes sizes = DetectCaches();
  Napi::Object result = Napi::Object::New(info.Env());
  result.Set("L1", static_cast<double>(sizes.l1));
  result.Set("L2", static_cast<double>(sizes.l2));
  result.Set("L3", static_cast<double>(sizes.l3));
  return result;
}

Napi::Value CpuBrand(const Napi::CallbackInfo& info) { return Napi::String::New(info.Env(), CpuName()); }

}  // namespace heedful
