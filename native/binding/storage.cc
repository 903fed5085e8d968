#include "binding/storage.h"

#include <string>
#include <utility>

#include "binding/arguments.h"
#include "runtime/shared_memory.h"

namespace heedful {
namespace {

void ReleaseHolder(napi_env, void*, void* hint) { delete static_cast<std::shared_ptr<MemoryHolder>*>(hint); }

Napi::ArrayBuffer NewArrayBuffer(Napi::Env env, const std::shared_ptr<MemoryHolder>& holder, size_t limit) {
  const size_t size = holder->memory->size();
  if (size == 0) return Napi::ArrayBuffer::New(env, 0);
  HEEDFUL_CHECK(size <= limit, "storage: its " + std::to_string(size) +
                                   " bytes do not fit into one ArrayBuffer, " + "which may have " +
                                   std::to_string(limit) + " here");
  napi_value value;
  // Not ArrayBuffer::New: that deletes again what Node already gave to the finalizer when it refuses. A
  // holder is rather lost than deleted twice.
  if (napi_create_external_arraybuffer(env, holder->memory->data(), size, ReleaseHolder,
                                       new std::shared_ptr<MemoryHolder>(holder), &value) != napi_ok)
    throw Napi::Error::New(env);
  return Napi::ArrayBuffer(env, value);
}

}  // namespace

Napi::Function Storage::Define(Napi::Env env) {
  return DefineClass(
      env, "NativeStorage",
      {InstanceAccessor<&Storage::ByteLength>("byteLength"), InstanceMethod<&Storage::Buffer>("buffer"),
       InstanceMethod<&Storage::Dispose>("dispose"), InstanceMethod<&Storage::Share>("share"),
       StaticMethod<&Storage::Shared>("shared"), StaticMethod<&Storage::Map>("map")});
}

Storage::Storage(const Napi::CallbackInfo& info) : Napi::ObjectWrap<Storage>(info) {
  byteLength_ = static_cast<size_t>(IntegerArgument(info, 0, "byteLength", 0, kMaxSafeInteger));
  Guard(info.Env(), [&] { memory_ = std::make_shared<AlignedBuffer>(byteLength_); });
  environment_ = Environment::Of(info.Env());
  environment_->storages().insert(this);
  TellV8(info.Env(), true);
}

void Storage::Finalize(Napi::Env env) {
  environment_->storages().erase(this);
  TellV8(env, false);
}

void Storage::TellV8(Napi::Env env, bool held) {
  if (held == std::exchange(told_, held)) return;
  const auto bytes = static_cast<int64_t>(byteLength_);
  Napi::MemoryManagement::AdjustExternalMemory(env, held ? bytes : -bytes);
}

Napi::Value Storage::ByteLength(const Napi::CallbackInfo& info) {
  CheckThis(info, Environment::Of(info.Env())->storages(), this);
  return Napi::Number::New(info.Env(), static_cast<double>(byteLength_));
}

Napi::Value Storage::Buffer(const Napi::CallbackInfo& info) {
  return Guard(info.Env(), [&]() -> Napi::Value {
    HEEDFUL_CHECK(memory_, "storage is disposed");
    if (arrayBuffer_.IsEmpty()) {
      auto holder = std::make_shared<MemoryHolder>(MemoryHolder{memory_});
      arrayBuffer_ = Napi::Persistent(NewArrayBuffer(info.Env(), holder, environment_->largestArrayBuffer()));
      holder_ = std::move(holder);
      TellV8(info.Env(), false);
    }
    return arrayBuffer_.Value();
  });
}

void Storage::Dispose(const Napi::CallbackInfo& info) {
  if (!memory_) return;
  memory_.reset();
  TellV8(info.Env(), false);
  DetachBuffer();
}

void Storage::DetachBuffer() {
  if (arrayBuffer_.IsEmpty()) return;
  Napi::ArrayBuffer buffer = arrayBuffer_.Value();
  arrayBuffer_.Reset();
  const std::shared_ptr<MemoryHolder> holder = std::move(holder_);
  if (buffer.IsDetached()) return;  // somebody transferred it, and uses the memory
  buffer.Detach();
  // Node runs the finalizer at some later turn of the event loop.
  if (holder) holder->memory.reset();
}

void Storage::Take(Napi::Env env, std::shared_ptr<AlignedBuffer> memory, bool counted) {
  TellV8(env, false);
  memory_ = std::move(memory);
  byteLength_ = memory_->size();
  if (counted) TellV8(env, true);
}

Storage* Storage::Find(Napi::Value value, Environment& environment) {
  void* object = nullptr;
  const bool wrapped = value.IsObject() && napi_unwrap(value.Env(), value, &object) == napi_ok;
  // Only a pointer of ours is safe to look into.
  return wrapped && environment.storages().count(object) ? static_cast<Storage*>(object) : nullptr;
}

Napi::Value Storage::Of(const Napi::CallbackInfo& info, std::shared_ptr<AlignedBuffer> memory) {
  // What `this` is, is up to the caller.
  const Napi::Value value = info.This().As<Napi::Function>().New({Napi::Number::New(info.Env(), 0)});
  Storage* storage = Find(value, *Environment::Of(info.Env()));
  if (!storage) throw Napi::TypeError::New(info.Env(), "Illegal invocation");
  storage->Take(info.Env(), std::move(memory), false);
  return value;
}

Napi::Value Storage::Share(const Napi::CallbackInfo& info) {
  const std::string key = Argument<Napi::String>(info, 0, "key", &Napi::Value::IsString, "a string");
  return Guard(info.Env(), [&] {
    HEEDFUL_CHECK(memory_, "storage is disposed");
    DetachBuffer();
    std::shared_ptr<AlignedBuffer> shared = SharedMemory::Of().Share(key, memory_);
    const bool was_there = shared != memory_;
    if (was_there) Take(info.Env(), std::move(shared), false);
    return Napi::Boolean::New(info.Env(), was_there);
  });
}

Napi::Value Storage::Shared(const Napi::CallbackInfo& info) {
  const std::string key = Argument<Napi::String>(info, 0, "key", &Napi::Value::IsString, "a string");
  std::shared_ptr<AlignedBuffer> memory = SharedMemory::Of().Find(key);
  return memory ? Of(info, std::move(memory)) : info.Env().Undefined();
}

Napi::Value Storage::Map(const Napi::CallbackInfo& info) {
  const auto fd = static_cast<int>(IntegerArgument(info, 0, "fd", 0, INT32_MAX));
  const int64_t position = IntegerArgument(info, 1, "position", 0, kMaxSafeInteger);
  const int64_t bytes = IntegerArgument(info, 2, "byteLength", 0, kMaxSafeInteger);
  std::shared_ptr<AlignedBuffer> memory = AlignedBuffer::MapFile(fd, position, static_cast<size_t>(bytes));
  return memory ? Of(info, std::move(memory)) : info.Env().Undefined();
}

Bindings BindingsArgument(const Napi::CallbackInfo& info, size_t index, Environment& environment) {
  const auto array =
      Argument<Napi::Array>(info, index, "bindings", &Napi::Value::IsArray, "an array of storages");
  Bindings bindings;
  for (uint32_t i = 0; i < array.Length(); ++i) {
    const Storage* storage = Storage::Find(array.Get(i), environment);
    if (!storage)
      throw Napi::TypeError::New(info.Env(), "bindings[" + std::to_string(i) + "]: expected a NativeStorage");
    bindings.push_back(storage->memory());
    Guard(info.Env(),
          [&] { HEEDFUL_CHECK(bindings[i], "bindings[" + std::to_string(i) + "]: storage is disposed"); });
  }
  return bindings;
}

}  // namespace heedful
