// `computeFormats` and `measure` of lib/native/native.ts.
#pragma once

#include <napi.h>

namespace heedful {

Napi::Value ComputeFormatNames(const Napi::CallbackInfo& info);
void Measure(const Napi::CallbackInfo& info);

}  // namespace heedful
