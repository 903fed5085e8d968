// NativeProgram of lib/native/native.ts.
#pragma once

#include <napi.h>

#include <memory>
#include <vector>

#include "binding/environment.h"
#include "program/program.h"

namespace heedful {

class ProgramObject : public Napi::ObjectWrap<ProgramObject> {
 public:
  static Napi::Function Define(Napi::Env env);

  explicit ProgramObject(const Napi::CallbackInfo& info);
  void Finalize(Napi::Env env) override;

 private:
  Napi::Value MemoryBytes(const Napi::CallbackInfo& info);
  void Keep(const Napi::CallbackInfo& info);
  Napi::Value Run(const Napi::CallbackInfo& info);
  void Abort(const Napi::CallbackInfo& info);
  void RunSync(const Napi::CallbackInfo& info);
  Napi::Value Profile(const Napi::CallbackInfo& info);
  void SetProfiling(const Napi::CallbackInfo& info);
  void Dispose(const Napi::CallbackInfo& info);

  void Release(Napi::Env env);
  // The memory of all slots: what is kept, then what was given. Throws what JavaScript should see.
  Bindings AllBindings(const Napi::CallbackInfo& info);
  // Throws Error when it was disposed.
  const std::shared_ptr<Program>& Get() const;

  std::shared_ptr<Environment> environment_;
  std::shared_ptr<Program> program_;
  std::vector<std::weak_ptr<AlignedBuffer>> kept_;
  int64_t toldBytes_ = 0;  // of the arena, that V8 knows of
};

// The numbers of a Float64Array, copied: its owner may change it meanwhile.
std::vector<double> CodeArgument(const Napi::CallbackInfo& info, size_t index);

}  // namespace heedful
