#include "platform/cpu_quota.h"

#include <algorithm>
#include <array>
#include <cstdio>
#include <cstring>
#include <memory>
#include <string_view>

#include "platform/cpu.h"

namespace rill {
namespace {

constexpr std::size_t kMostPath = 4096;
using Path = std::array<char, kMostPath>;

struct Close {
  void operator()(std::FILE* file) const { std::fclose(file); }
};
using File = std::unique_ptr<std::FILE, Close>;

/// nullptr for what is not there, or has too long a name.
File open_to_read(const char* root, const char* mount, const char* group, const char* name) {
  Path path{};
  const int length = std::snprintf(path.data(), path.size(), "%s%s%s%s", root, mount, group, name);
  if (length < 0 || static_cast<std::size_t>(length) >= path.size()) return nullptr;
  return File(std::fopen(path.data(), "re"));
}

std::optional<double> ratio(long long quota, long long period) {
  if (quota <= 0 || period <= 0) return {};
  return static_cast<double>(quota) / static_cast<double>(period);
}

/// Version 2: "QUOTA PERIOD" in microseconds, or "max PERIOD".
std::optional<double> quota_of_v2(const char* root, const char* group) {
  const File file = open_to_read(root, "/sys/fs/cgroup", group, "/cpu.max");
  long long quota = 0;
  long long period = 0;
  if (file == nullptr || std::fscanf(file.get(), "%lld %lld", &quota, &period) != 2) return {};
  return ratio(quota, period);
}

/// Version 1: a file each; a quota of -1 is none.
std::optional<double> quota_of_v1(const char* root, const char* group) {
  const File quota_file = open_to_read(root, "/sys/fs/cgroup/cpu", group, "/cpu.cfs_quota_us");
  const File period_file = open_to_read(root, "/sys/fs/cgroup/cpu", group, "/cpu.cfs_period_us");
  long long quota = 0;
  long long period = 0;
  if (quota_file == nullptr || std::fscanf(quota_file.get(), "%lld", &quota) != 1) return {};
  if (period_file == nullptr || std::fscanf(period_file.get(), "%lld", &period) != 1) return {};
  return ratio(quota, period);
}

std::optional<double> smaller(std::optional<double> a, std::optional<double> b) {
  if (!a || !b) return a ? a : b;
  return std::min(*a, *b);
}

/// The least of a group and of all around it, up to where the hierarchy is mounted: in a container the group's path is
/// often that of the machine outside, and only the mount's root is there.
/// @param group  becomes empty
template <typename QuotaOf>
std::optional<double> least_quota(const char* root, char* group, QuotaOf quota_of) {
  std::optional<double> least;
  for (;;) {
    least = smaller(least, quota_of(root, group));
    char* const slash = std::strrchr(group, '/');
    if (slash == nullptr) return least;
    *slash = '\0';
  }
}

/// True if `name` is one of the names between commas.
bool is_listed(std::string_view name, std::string_view names) {
  while (!names.empty()) {
    const std::size_t comma = std::min(names.find(','), names.size());
    if (names.substr(0, comma) == name) return true;
    names.remove_prefix(std::min(comma + 1, names.size()));
  }
  return false;
}

/// What one line of /proc/self/cgroup says: HIERARCHY:CONTROLLERS:PATH, no controllers for version 2.
std::optional<double> quota_of_line(const char* root, char* line) {
  line[std::strcspn(line, "\n")] = '\0';
  const char* const first = std::strchr(line, ':');
  char* const second = first == nullptr ? nullptr : std::strchr(line + (first - line) + 1, ':');
  if (second == nullptr) return {};
  const std::string_view controllers(first + 1, static_cast<std::size_t>(second - first - 1));
  if (controllers.empty()) return least_quota(root, second + 1, quota_of_v2);
  if (is_listed("cpu", controllers)) return least_quota(root, second + 1, quota_of_v1);
  return {};
}

}  // namespace

std::optional<double> cpu_quota(const char* root) {
  const File groups = open_to_read(root, "/proc", "/self", "/cgroup");
  std::optional<double> least;
  Path line{};
  while (groups != nullptr && std::fgets(line.data(), static_cast<int>(line.size()), groups.get()) != nullptr) {
    least = smaller(least, quota_of_line(root, line.data()));
  }
  return least;
}

unsigned cores_within(std::optional<double> quota, unsigned cores) {
  if (!quota || *quota >= cores) return cores;
  return std::max(1U, static_cast<unsigned>(*quota));
}

unsigned usable_cores() { return cores_within(cpu_quota(), physical_cores()); }

}  // namespace rill
