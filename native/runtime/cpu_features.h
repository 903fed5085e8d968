// What this CPU and operating system can run.
#pragma once

#include <cstdint>
#include <string>

namespace heedful {

struct CpuFeatures {
  bool avx2 = false;          // AVX2, FMA, F16C, and the system saves ymm registers
  bool avx_vnni = false;      // avx2 and AVX-VNNI
  bool avx512 = false;        // avx2, AVX-512 F BW DQ VL, and the system saves zmm and mask registers
  bool avx512_vnni = false;   // avx512 and AVX-512 VNNI
  bool avx512_bf16 = false;   // avx512_vnni and AVX-512 BF16
  bool neon_dotprod = false;  // AArch64's FEAT_DotProd
  bool neon_i8mm = false;     // neon_dotprod and FEAT_I8MM
  bool neon_bf16 = false;     // neon_i8mm and FEAT_BF16
};

CpuFeatures DetectCpu();

// Bytes of the data caches that one core sees; 0 where the system does not tell.
struct CacheSizes {
  int64_t l1 = 0, l2 = 0, l3 = 0;
};

CacheSizes DetectCaches();

// As the maker writes it, e.g. "AMD EPYC 9654 96-Core Processor".
std::string CpuName();

}  // namespace heedful
