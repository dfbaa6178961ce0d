#pragma once
// How much CPU time the system grants this process, whatever the number of its cores: containers are often given two
// cores' worth on a machine of 64, and a pool with more threads than that is stopped for most of each tenth of a
// second.

#include <optional>

namespace rill {

/// Cores' worth of time that this process and its siblings may take: the least quota of its control groups (versions 1
/// and 2) and of those around them. Nothing if there is none, or if they are not mounted below /sys/fs/cgroup, where
/// systems mount them. Source: Linux, Documentation/admin-guide/cgroup-v2.rst ("cpu.max") and
/// Documentation/scheduler/sched-bwc.rst.
/// @param root  what stands before /proc and /sys: for tests
std::optional<double> cpu_quota(const char* root = "");

/// How many of so many cores a quota keeps busy: whole ones, at least 1.
unsigned cores_within(std::optional<double> quota, unsigned cores);

/// Physical cores that this process may use and has the time for, at least 1.
unsigned usable_cores();

}  // namespace rill
