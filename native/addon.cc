// Everything that JavaScript can call: `Native` of lib/native/native.ts.
#include <napi.h>

#include "binding/arguments.h"
#include "binding/environment.h"
#include "binding/measurement.h"
#include "binding/program.h"
#include "binding/runtime.h"
#include "binding/storage.h"
#include "runtime/dispatch.h"

namespace {

Napi::Object Init(Napi::Env env, Napi::Object exports) {
  using Napi::Function;
  using namespace heedful;
  Guard(env, [&] {
    Kernels();  // a wrong HEEDFUL_ISA or HEEDFUL_THREADS is told now
    Environment::Create(env);
  });
  exports.Set("operations", Operations(env));
  exports.Set("dtypes", DTypes(env));
  exports.Set("unaryFunctions", UnaryFunctions(env));
  exports.Set("binaryFunctions", BinaryFunctions(env));
  exports.Set("reduceFunctions", ReduceFunctions(env));
  exports.Set("cacheFormats", CacheFormats(env));
  exports.Set("panelFormats", PanelFormats(env));
  exports.Set("Storage", Storage::Define(env));
  exports.Set("Program", ProgramObject::Define(env));
  exports.Set("execute", Function::New<ExecuteCode>(env, "execute"));
  exports.Set("liveBytes", Function::New<LiveBytes>(env, "liveBytes"));
  exports.Set("isa", Function::New<Isa>(env, "isa"));
  exports.Set("availableIsas", Function::New<AvailableIsas>(env, "availableIsas"));
  exports.Set("setIsa", Function::New<SetIsa>(env, "setIsa"));
  exports.Set("threads", Function::New<Threads>(env, "threads"));
  exports.Set("setThreads", Function::New<SetThreads>(env, "setThreads"));
  exports.Set("cpuName", Function::New<CpuBrand>(env, "cpuName"));
  exports.Set("cacheBytes", Function::New<CacheBytes>(env, "cacheBytes"));
  exports.Set("computeFormats", Function::New<ComputeFormatNames>(env, "computeFormats"));
  exports.Set("measure", Function::New<Measure>(env, "measure"));
  return exports;
}

}  // namespace

NODE_API_MODULE(heedful, Init)
