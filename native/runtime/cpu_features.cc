#include "runtime/cpu_features.h"

#include <cstdint>
#include <cstring>

#if defined(__x86_64__) || defined(_M_X64)
#define HEEDFUL_X86 1
#if defined(_MSC_VER)
#include <intrin.h>
#else
#include <cpuid.h>
#endif
#elif defined(__APPLE__)
#include <sys/sysctl.h>
#elif defined(__linux__)
#include <sys/auxv.h>
#include <unistd.h>
#endif

namespace heedful {

#ifdef HEEDFUL_X86
namespace {

struct Registers {
  uint32_t eax = 0, ebx = 0, ecx = 0, edx = 0;
};

// Zeros when the CPU has no such leaf.
Registers CpuId(uint32_t leaf, uint32_t subleaf = 0) {
  Registers r;
#if defined(_MSC_VER)
  int x[4];
  __cpuid(x, static_cast<int>(leaf & 0x80000000u));
  if (static_cast<uint32_t>(x[0]) < leaf) return r;
  __cpuidex(x, static_cast<int>(leaf), static_cast<int>(subleaf));
  std::memcpy(&r, x, sizeof r);
#else
  __get_cpuid_count(leaf, subleaf, &r.eax, &r.ebx, &r.ecx, &r.edx);
#endif
  return r;
}

// Which registers the operating system saves. Only after cpuid says OSXSAVE.
uint64_t ReadXcr0() {
#if defined(_MSC_VER)
  return _xgetbv(0);
#else
  uint32_t low, high;
  __asm__ volatile("xgetbv" : "=a"(low), "=d"(high) : "c"(0));
  return (static_cast<uint64_t>(high) << 32) | low;
#endif
}

bool Bit(uint32_t word, int bit) { return (word >> bit) & 1; }

}  // namespace

CpuFeatures DetectCpu() {
  CpuFeatures cpu;
  const Registers basic = CpuId(1), extended = CpuId(7);
  if (!Bit(basic.ecx, 27)) return cpu;  // OSXSAVE
  const uint64_t xcr0 = ReadXcr0();
  const bool ymm = (xcr0 & 0x6) == 0x6;
  const bool zmm = (xcr0 & 0xe6) == 0xe6;
  const bool avx = Bit(basic.ecx, 28), fma = Bit(basic.ecx, 12), f16c = Bit(basic.ecx, 29);
  cpu.avx2 = ymm && avx && fma && f16c && Bit(extended.ebx, 5);
  const bool f = Bit(extended.ebx, 16), dq = Bit(extended.ebx, 17);
  const bool bw = Bit(extended.ebx, 30), vl = Bit(extended.ebx, 31);
  cpu.avx512 = cpu.avx2 && zmm && f && dq && bw && vl;
  const uint32_t more = extended.eax >= 1 ? CpuId(7, 1).eax : 0;
  cpu.avx_vnni = cpu.avx2 && Bit(more, 4);
  const bool vnni = Bit(extended.ecx, 11), bf16 = Bit(more, 5);
  cpu.avx512_vnni = cpu.avx512 && vnni;
  cpu.avx512_bf16 = cpu.avx512_vnni && bf16;
  return cpu;
}

CacheSizes DetectCaches() {
  CacheSizes sizes;
  // AMD's leaf has the layout of Intel's, which AMD leaves empty.
  for (const uint32_t leaf : {0x4u, 0x8000001du}) {
    for (uint32_t i = 0; i < 16; ++i) {
      const Registers r = CpuId(leaf, i);
      const uint32_t kind = r.eax & 31, level = (r.eax >> 5) & 7;
      if (!kind) break;
      if (kind == 2) continue;  // instructions
      const int64_t ways = (r.ebx >> 22) + 1, partitions = ((r.ebx >> 12) & 1023) + 1;
      const int64_t bytes = ways * partitions * ((r.ebx & 4095) + 1) * (int64_t{r.ecx} + 1);
      if (level == 1) sizes.l1 = bytes;
      if (level == 2) sizes.l2 = bytes;
      if (level == 3) sizes.l3 = bytes;
    }
    if (sizes.l1) break;
  }
  return sizes;
}

std::string CpuName() {
  char name[49] = {};
  for (uint32_t i = 0; i < 3; ++i) {
    const Registers r = CpuId(0x80000002u + i);
    std::memcpy(name + 16 * i, &r, sizeof r);
  }
  const char* begin = name;
  while (*begin == ' ') ++begin;
  size_t length = std::strlen(begin);
  while (length && begin[length - 1] == ' ') --length;
  return length ? std::string(begin, length) : "x86-64";
}

#else

CpuFeatures DetectCpu() {
  CpuFeatures cpu;
#if defined(__aarch64__) && defined(__linux__)
  // Bits of the kernel's interface (arch/arm64/include/uapi/asm/hwcap.h): older headers lack the newer ones.
  const unsigned long first = getauxval(AT_HWCAP), second = getauxval(AT_HWCAP2);
  const bool dotprod = first >> 20 & 1, i8mm = second >> 13 & 1, bf16 = second >> 14 & 1;
#elif defined(__aarch64__) && defined(__APPLE__)
  const auto has = [](const char* name) {
    int value = 0;
    size_t size = sizeof value;
    return sysctlbyname(name, &value, &size, nullptr, 0) == 0 && value != 0;
  };
  const bool dotprod = has("hw.optional.arm.FEAT_DotProd"), i8mm = has("hw.optional.arm.FEAT_I8MM");
  const bool bf16 = has("hw.optional.arm.FEAT_BF16");
#else
  const bool dotprod = false, i8mm = false, bf16 = false;
#endif
  cpu.neon_dotprod = dotprod;
  cpu.neon_i8mm = dotprod && i8mm;
  cpu.neon_bf16 = cpu.neon_i8mm && bf16;
  return cpu;
}

CacheSizes DetectCaches() {
  CacheSizes sizes;
#if defined(__APPLE__)
  const auto read = [](const char* name) {
    int64_t bytes = 0;
    size_t size = sizeof bytes;
    return sysctlbyname(name, &bytes, &size, nullptr, 0) == 0 ? bytes : 0;
  };
  sizes = {read("hw.perflevel0.l1dcachesize"), read("hw.perflevel0.l2cachesize"), read("hw.l3cachesize")};
#elif defined(_SC_LEVEL1_DCACHE_SIZE)
  const auto read = [](int name) {
    const long bytes = sysconf(name);
    return int64_t{bytes > 0 ? bytes : 0};
  };
  sizes = {read(_SC_LEVEL1_DCACHE_SIZE), read(_SC_LEVEL2_CACHE_SIZE), read(_SC_LEVEL3_CACHE_SIZE)};
#endif
  return sizes;
}

std::string CpuName() {
#if defined(__APPLE__)
  char name[128] = {};
  size_t size = sizeof name - 1;
  if (sysctlbyname("machdep.cpu.brand_string", name, &size, nullptr, 0) == 0 && *name) return name;
#endif
#if defined(__aarch64__) || defined(_M_ARM64)
  return "arm64";
#else
  return "unknown";
#endif
}

#endif

}  // namespace heedful
