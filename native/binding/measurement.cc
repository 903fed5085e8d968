#include "binding/measurement.h"

#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "binding/arguments.h"
#include "binding/environment.h"
#include "runtime/buffer.h"
#include "runtime/peak.h"

namespace heedful {
namespace {

// One measurement, on a thread of libuv; the environment waits for it when it ends.
class Measurement : public Napi::AsyncWorker {
 public:
  Measurement(const Napi::Function& done, PeakRequest request, std::shared_ptr<AlignedBuffer> memory)
      : Napi::AsyncWorker(done, "heedful"),
        request_(std::move(request)),
        memory_(std::move(memory)),
        pool_(ThreadPool::Shared()) {}

 protected:
  void Execute() override { figures_ = MeasurePeak(request_, *pool_); }

  std::vector<napi_value> GetResult(Napi::Env env) override {
    auto figures = Napi::Float64Array::New(env, figures_.size());
    for (size_t i = 0; i < figures_.size(); ++i) figures[i] = figures_[i];
    return {env.Undefined(), figures};
  }

 private:
  PeakRequest request_;
  std::shared_ptr<AlignedBuffer> memory_;
  std::shared_ptr<ThreadPool> pool_;
  std::vector<double> figures_;
};

}  // namespace

Napi::Value ComputeFormatNames(const Napi::CallbackInfo& info) {
  return Strings(info.Env(), ComputeFormats());
}

void Measure(const Napi::CallbackInfo& info) {
  PeakRequest request;
  request.name = Argument<Napi::String>(info, 0, "name", &Napi::Value::IsString, "a string");
  request.samples = static_cast<int>(IntegerArgument(info, 1, "samples", 1, 1 << 20));
  const Bindings memory = BindingsArgument(info, 2, *Environment::Of(info.Env()));
  request.workingSet = static_cast<size_t>(IntegerArgument(info, 3, "workingSet", 0, kMaxSafeInteger));
  const auto done = Argument<Napi::Function>(info, 4, "done", &Napi::Value::IsFunction, "a function");
  if (!memory.empty()) {
    request.memory = memory[0]->data();
    request.memoryBytes = memory[0]->size();
  }
  (new Measurement(done, std::move(request), memory.empty() ? nullptr : memory[0]))->Queue();
}

}  // namespace heedful
