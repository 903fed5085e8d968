#include "runtime/dispatch.h"

#include <atomic>
#include <cstdlib>

#include "runtime/check.h"
#include "runtime/cpu_features.h"

namespace heedful {

#define HEEDFUL_DECLARE(isa, Table) \
  namespace isa {                   \
  extern const Table kKernels;      \
  }
HEEDFUL_DECLARE(scalar, KernelTable)
HEEDFUL_DECLARE(avx2, KernelTable)
HEEDFUL_DECLARE(avx_vnni, KernelExtension)
HEEDFUL_DECLARE(avx512, KernelTable)
HEEDFUL_DECLARE(avx512_vnni, KernelExtension)
HEEDFUL_DECLARE(avx512_bf16, KernelExtension)
HEEDFUL_DECLARE(neon, KernelTable)
HEEDFUL_DECLARE(neon_dotprod, KernelExtension)
HEEDFUL_DECLARE(neon_i8mm, KernelExtension)
HEEDFUL_DECLARE(neon_bf16, KernelExtension)
#undef HEEDFUL_DECLARE

namespace {

// `base` with what the extension has in its place. Never freed: runs keep pointers to tables.
[[maybe_unused]] const KernelTable* Extended(const KernelTable& base, const KernelExtension& extension) {
  auto& table = *new KernelTable(base);
  table.name = extension.name;
  for (int format = 0; format < kPanelFormatCount; ++format)
    if (extension.panels[format].tile) table.gemm.panels[format] = extension.panels[format];
  if (extension.products.tile) table.gemm.bf16 = extension.products;
  if (extension.attention.forward) table.attention.bf16 = extension.attention;
#define HEEDFUL_EXTEND(format) \
  if (extension.format.run) table.peak.format = extension.format;
  HEEDFUL_COMPUTE_FORMATS(HEEDFUL_EXTEND)
#undef HEEDFUL_EXTEND
  return &table;
}

std::vector<const KernelTable*> FindTables() {
  [[maybe_unused]] const CpuFeatures cpu = DetectCpu();
  std::vector<const KernelTable*> tables;
#ifdef HEEDFUL_WITH_avx512_vnni
  const KernelTable* vnni = cpu.avx512_vnni ? Extended(avx512::kKernels, avx512_vnni::kKernels) : nullptr;
#ifdef HEEDFUL_WITH_avx512_bf16
  if (cpu.avx512_bf16) tables.push_back(Extended(*vnni, avx512_bf16::kKernels));
#endif
  if (vnni) tables.push_back(vnni);
#endif
#ifdef HEEDFUL_WITH_avx512
  if (cpu.avx512) tables.push_back(&avx512::kKernels);
#endif
#ifdef HEEDFUL_WITH_avx_vnni
  if (cpu.avx_vnni) tables.push_back(Extended(avx2::kKernels, avx_vnni::kKernels));
#endif
#ifdef HEEDFUL_WITH_avx2
  if (cpu.avx2) tables.push_back(&avx2::kKernels);
#endif
#ifdef HEEDFUL_WITH_neon_i8mm
  const KernelTable* i8mm = cpu.neon_i8mm ? Extended(neon::kKernels, neon_i8mm::kKernels) : nullptr;
#ifdef HEEDFUL_WITH_neon_bf16
  if (cpu.neon_bf16) tables.push_back(Extended(*i8mm, neon_bf16::kKernels));
#endif
  if (i8mm) tables.push_back(i8mm);
#endif
#ifdef HEEDFUL_WITH_neon_dotprod
  if (cpu.neon_dotprod) tables.push_back(Extended(neon::kKernels, neon_dotprod::kKernels));
#endif
#ifdef HEEDFUL_WITH_neon
  tables.push_back(&neon::kKernels);
#endif
  tables.push_back(&scalar::kKernels);
  return tables;
}

const KernelTable& Find(const std::string& name, const char* setting) {
  std::string valid;
  for (const KernelTable* table : AvailableKernels()) {
    if (table->name == name) return *table;
    valid += (valid.empty() ? "" : ", ") + std::string(table->name);
  }
  throw Error(std::string(setting) + ": this binary and this CPU have no '" + name +
              "' kernels; they have: " + valid);
}

std::atomic<const KernelTable*> chosen{nullptr};

}  // namespace

const std::vector<const KernelTable*>& AvailableKernels() {
  // Never destroyed: threads may outlive the destructors of static objects.
  static const auto& tables = *new std::vector<const KernelTable*>(FindTables());
  return tables;
}

const KernelTable& Kernels() {
  if (const KernelTable* table = chosen.load(std::memory_order_relaxed)) return *table;
  const char* name = std::getenv("HEEDFUL_ISA");
  const KernelTable& table = name && *name ? Find(name, "HEEDFUL_ISA") : *AvailableKernels().front();
  chosen.store(&table, std::memory_order_relaxed);
  return table;
}

void ForceKernels(const std::string& name) { chosen.store(&Find(name, "setIsa"), std::memory_order_relaxed); }

}  // namespace heedful
