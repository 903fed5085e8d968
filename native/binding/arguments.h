// Reading what JavaScript passes, and giving it lists and native errors.
#pragma once

#include <napi.h>

#include <cmath>
#include <string>
#include <unordered_set>
#include <vector>

#include "runtime/check.h"

namespace heedful {

inline Napi::Error ToJavaScript(Napi::Env env, const std::string& message) {
  Napi::Error error = Napi::Error::New(env, message);
  error.Set("code", Napi::String::New(env, "HEEDFUL_NATIVE"));
  return error;
}

// What a method returns of `body`; an Error becomes a JavaScript Error with the code HEEDFUL_NATIVE.
// Other exceptions are turned by NODE_ADDON_API_CPP_EXCEPTIONS_ALL.
template <class F>
auto Guard(Napi::Env env, F&& body) -> decltype(body()) {
  try {
    return body();
  } catch (const Error& error) {
    throw ToJavaScript(env, error.what());
  }
}

// Argument `index` as a T; TypeError that names it when `is` says no.
template <class T>
T Argument(const Napi::CallbackInfo& info, size_t index, const char* name, bool (Napi::Value::*is)() const,
           const char* expected) {
  const Napi::Value value = info[index];
  if (!(value.*is)()) throw Napi::TypeError::New(info.Env(), std::string(name) + ": expected " + expected);
  return value.As<T>();
}

// A whole number from `low` to `high`; TypeError or RangeError that names the argument.
inline int64_t IntegerArgument(const Napi::CallbackInfo& info, size_t index, const char* name, int64_t low,
                               int64_t high) {
  const double value =
      Argument<Napi::Number>(info, index, name, &Napi::Value::IsNumber, "a number").DoubleValue();
  if (!(value >= static_cast<double>(low) && value <= static_cast<double>(high)) ||
      value != std::floor(value))
    throw Napi::RangeError::New(info.Env(), std::string(name) + ": expected an integer from " +
                                                std::to_string(low) + " to " + std::to_string(high));
  return static_cast<int64_t>(value);
}

// A list of names, frozen.
inline Napi::Value Strings(Napi::Env env, const std::vector<const char*>& names) {
  Napi::Array array = Napi::Array::New(env, names.size());
  for (uint32_t i = 0; i < names.size(); ++i) array.Set(i, names[i]);
  array.Freeze();
  return array;
}

// For getters: unlike methods, Node lets them be called on any object that some addon wrapped.
inline void CheckThis(const Napi::CallbackInfo& info, const std::unordered_set<const void*>& known,
                      const void* self) {
  if (!known.count(self)) throw Napi::TypeError::New(info.Env(), "Illegal invocation");
}

constexpr int64_t kMaxSafeInteger = (int64_t{1} << 53) - 1;

}  // namespace heedful
