// Which kernel table runs: the best one that this CPU and operating system support, or the one that was
// forced.
#pragma once

#include <string>
#include <vector>

#include "kernels/kernel_table.h"

namespace heedful {

// The tables in this binary that this machine can run, best first; "scalar" is always the last.
const std::vector<const KernelTable*>& AvailableKernels();

// The chosen one. The first call obeys HEEDFUL_ISA and throws Error when that names none of the above.
const KernelTable& Kernels();

// Throws Error that lists the valid names. Takes effect with the next run that starts: a run keeps the table
// it sized its workspace by.
void ForceKernels(const std::string& name);

}  // namespace heedful
