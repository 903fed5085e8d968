// NativeStorage of lib/native/native.ts.
#pragma once

#include <napi.h>

#include <memory>

#include "binding/environment.h"
#include "runtime/buffer.h"

namespace heedful {

// What an ArrayBuffer keeps of the memory under it.
struct MemoryHolder {
  std::shared_ptr<AlignedBuffer> memory;
};

class Storage : public Napi::ObjectWrap<Storage> {
 public:
  static Napi::Function Define(Napi::Env env);

  // The one behind a value; nullptr: there is none.
  static Storage* Find(Napi::Value value, Environment& environment);

  explicit Storage(const Napi::CallbackInfo& info);
  void Finalize(Napi::Env env) override;

  // Null once it is disposed.
  const std::shared_ptr<AlignedBuffer>& memory() const { return memory_; }

 private:
  Napi::Value ByteLength(const Napi::CallbackInfo& info);
  Napi::Value Buffer(const Napi::CallbackInfo& info);
  void Dispose(const Napi::CallbackInfo& info);
  Napi::Value Share(const Napi::CallbackInfo& info);
  static Napi::Value Shared(const Napi::CallbackInfo& info);
  static Napi::Value Map(const Napi::CallbackInfo& info);

  // Views that JavaScript has of the memory become empty.
  void DetachBuffer();
  // A NativeStorage of memory that exists.
  static Napi::Value Of(const Napi::CallbackInfo& info, std::shared_ptr<AlignedBuffer> memory);
  // `counted`: V8 is told of its bytes.
  void Take(Napi::Env env, std::shared_ptr<AlignedBuffer> memory, bool counted);

  // V8 counts the bytes of an ArrayBuffer by itself; those of a storage without one are told to it, so that
  // storages that nobody disposes are collected in time.
  void TellV8(Napi::Env env, bool held);

  std::shared_ptr<Environment> environment_;
  std::shared_ptr<AlignedBuffer> memory_;
  size_t byteLength_ = 0;
  Napi::Reference<Napi::ArrayBuffer> arrayBuffer_;
  std::shared_ptr<MemoryHolder> holder_;  // of arrayBuffer_
  bool told_ = false;
};

}  // namespace heedful
