#include "platform/cpu.h"

#include <sched.h>

#include <array>
#include <cstdio>
#include <thread>

#if defined(__x86_64__) || defined(__i386__)
#include <cpuid.h>
#elif defined(__aarch64__) || defined(__arm__)
#include <sys/auxv.h>
#endif

namespace rill {

#if defined(__x86_64__) || defined(__i386__)
namespace {

struct CpuidLeaf {
  std::uint32_t eax = 0;
  std::uint32_t ebx = 0;
  std::uint32_t ecx = 0;
  std::uint32_t edx = 0;
};

CpuidLeaf cpuid(std::uint32_t leaf, std::uint32_t subleaf) {
  CpuidLeaf r;
  if (__get_cpuid_count(leaf, subleaf, &r.eax, &r.ebx, &r.ecx, &r.edx) == 0) return {};
  return r;
}

constexpr bool bit(std::uint32_t word, unsigned index) { return ((word >> index) & 1U) != 0; }

/// Which register files the system saves on a context switch (XCR0); 0 where it cannot be asked.
std::uint64_t saved_registers(const CpuidLeaf& leaf1) {
  if (!bit(leaf1.ecx, 27)) return 0;  // OSXSAVE
  std::uint32_t low = 0;
  std::uint32_t high = 0;
  __asm__ volatile("xgetbv" : "=a"(low), "=d"(high) : "c"(0));
  return (static_cast<std::uint64_t>(high) << 32U) | low;
}

}  // namespace

CpuFeatures detect_cpu() {
  const CpuidLeaf leaf1 = cpuid(1, 0);
  const CpuidLeaf leaf7 = cpuid(7, 0);
  const std::uint64_t saved = saved_registers(leaf1);
  const bool ymm = (saved & 0x6U) == 0x6U;
  const bool zmm = (saved & 0xe6U) == 0xe6U;

  CpuFeatures found = cpu_feature::kNone;
  const bool avx2 = ymm && bit(leaf7.ebx, 5) && bit(leaf1.ecx, 12) && bit(leaf1.ecx, 29);  // AVX2, FMA, F16C
  if (avx2) found = found | cpu_feature::kAvx2;
  if (avx2 && bit(cpuid(7, 1).eax, 4)) found = found | cpu_feature::kAvxVnni;
  const bool avx512 = zmm && bit(leaf7.ebx, 16) && bit(leaf7.ebx, 17) && bit(leaf7.ebx, 30) && bit(leaf7.ebx, 31);
  if (avx512) found = found | cpu_feature::kAvx512;
  if (avx512 && bit(leaf7.ecx, 11)) found = found | cpu_feature::kAvx512Vnni;
  return found;
}
#elif defined(__aarch64__)
CpuFeatures detect_cpu() {
  // What the kernel tells every program, numbered by Linux's arch/arm64/include/uapi/asm/hwcap.h.
  const unsigned long capabilities = ::getauxval(AT_HWCAP);
  const unsigned long more = ::getauxval(AT_HWCAP2);
  CpuFeatures found = cpu_feature::kNone;
  if ((capabilities >> 1U & 1U) != 0) found = found | cpu_feature::kNeon;      // HWCAP_ASIMD
  if ((capabilities >> 20U & 1U) != 0) found = found | cpu_feature::kDotprod;  // HWCAP_ASIMDDP
  if ((more >> 13U & 1U) != 0) found = found | cpu_feature::kI8mm;             // HWCAP2_I8MM
  return found;
}
#elif defined(__arm__)
CpuFeatures detect_cpu() {
  const unsigned long capabilities = ::getauxval(AT_HWCAP);  // numbered by Linux's arch/arm/include/uapi/asm/hwcap.h
  const bool neon = (capabilities >> 12U & 1U) != 0;         // HWCAP_NEON
  const bool vfpv4 = (capabilities >> 16U & 1U) != 0;        // HWCAP_VFPv4
  return neon && vfpv4 ? cpu_feature::kNeon : cpu_feature::kNone;
}
#else
CpuFeatures detect_cpu() { return cpu_feature::kNone; }
#endif

int first_sibling(int cpu) {
  std::array<char, 96> path{};
  std::snprintf(path.data(), path.size(), "/sys/devices/system/cpu/cpu%d/topology/thread_siblings_list", cpu);
  int first = cpu;
  if (std::FILE* file = std::fopen(path.data(), "re")) {
    if (std::fscanf(file, "%d", &first) != 1) first = cpu;
    std::fclose(file);
  }
  return first >= 0 && first < CPU_SETSIZE ? first : cpu;
}

unsigned physical_cores() {
  cpu_set_t allowed;
  if (::sched_getaffinity(0, sizeof allowed, &allowed) != 0) {
    const unsigned logical = std::thread::hardware_concurrency();
    return logical > 0 ? logical : 1;
  }
  unsigned cores = 0;
  for (int cpu = 0; cpu < CPU_SETSIZE; ++cpu) {
    if (!CPU_ISSET(cpu, &allowed)) continue;
    // A core is counted at the first of its logical CPUs; where the system does not say, each counts.
    const int first = first_sibling(cpu);
    if (first == cpu || !CPU_ISSET(first, &allowed)) ++cores;
  }
  return cores > 0 ? cores : 1;
}

}  // namespace rill
