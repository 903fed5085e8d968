// What this CPU and operating system can run.
#pragma once

#include <string>

namespace heedful {

struct CpuFeatures {
  bool avx2 = false;    // AVX2, FMA, F16C, and the system saves ymm registers
  bool avx512 = false;  // avx2, AVX-512 F BW DQ VL, and the system saves zmm and mask registers
  bool avx512_bf16 = false;
};

CpuFeatures DetectCpu();

// As the maker writes it, e.g. "AMD EPYC 9654 96-Core Processor".
std::string CpuName();

}  // namespace heedful
