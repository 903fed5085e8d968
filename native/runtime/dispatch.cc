#include "runtime/dispatch.h"

#include <atomic>
#include <cstdlib>

#include "runtime/check.h"
#include "runtime/cpu_features.h"

namespace heedful {

#define HEEDFUL_DECLARE_TABLE(isa)   \
  namespace isa {                    \
  extern const KernelTable kKernels; \
  }
HEEDFUL_DECLARE_TABLE(scalar)
HEEDFUL_DECLARE_TABLE(avx2)
HEEDFUL_DECLARE_TABLE(avx512)
HEEDFUL_DECLARE_TABLE(neon)
#undef HEEDFUL_DECLARE_TABLE
namespace avx512_bf16 {
extern const PanelKernels kKernels;
}

namespace {

#ifdef HEEDFUL_WITH_avx512_bf16
// The kernels of avx512, but pairs of bfloat16 are multiplied as such.
const KernelTable& Avx512Bf16() {
  static KernelTable table = avx512::kKernels;
  table.name = "avx512_bf16";
  table.gemm.panels[static_cast<int>(PanelFormat::bf16)] = avx512_bf16::kKernels;
  return table;
}
#endif

std::vector<const KernelTable*> FindTables() {
  [[maybe_unused]] const CpuFeatures cpu = DetectCpu();
  std::vector<const KernelTable*> tables;
#ifdef HEEDFUL_WITH_avx512_bf16
  if (cpu.avx512_bf16) tables.push_back(&Avx512Bf16());
#endif
#ifdef HEEDFUL_WITH_avx512
  if (cpu.avx512) tables.push_back(&avx512::kKernels);
#endif
#ifdef HEEDFUL_WITH_avx2
  if (cpu.avx2) tables.push_back(&avx2::kKernels);
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
