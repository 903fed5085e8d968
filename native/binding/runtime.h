// The functions and lists of `Native` in lib/native/native.ts.
#pragma once

#include <napi.h>

namespace heedful {

Napi::Value Operations(Napi::Env env);
Napi::Value DTypes(Napi::Env env);
Napi::Value UnaryFunctions(Napi::Env env);
Napi::Value BinaryFunctions(Napi::Env env);
Napi::Value ReduceFunctions(Napi::Env env);
Napi::Value CacheFormats(Napi::Env env);
Napi::Value PanelFormats(Napi::Env env);

void ExecuteCode(const Napi::CallbackInfo& info);
Napi::Value LiveBytes(const Napi::CallbackInfo& info);
Napi::Value Isa(const Napi::CallbackInfo& info);
Napi::Value AvailableIsas(const Napi::CallbackInfo& info);
void SetIsa(const Napi::CallbackInfo& info);
Napi::Value Threads(const Napi::CallbackInfo& info);
void SetThreads(const Napi::CallbackInfo& info);
Napi::Value CpuBrand(const Napi::CallbackInfo& info);
Napi::Value CacheBytes(const Napi::CallbackInfo& info);

}  // namespace heedful
