#include "platform/cpu_quota.h"

#include <gtest/gtest.h>

#include <filesystem>
#include <fstream>
#include <string>

#include "platform/cpu.h"
#include "tests/support/scratch_directory.h"

namespace rill {
namespace {

/// A folder that stands for a system's root.
class CpuQuota : public testing::Test {
 protected:
  void write(const std::string& path, const std::string& text) {
    const std::filesystem::path full = root() + path;
    std::filesystem::create_directories(full.parent_path());
    std::ofstream(full) << text;
  }
  const std::string& root() const { return scratch_.path(); }

 private:
  ScratchDirectory scratch_;
};

TEST_F(CpuQuota, IsNoneWhereTheSystemHasNoControlGroups) { EXPECT_FALSE(cpu_quota(root().c_str())); }

TEST_F(CpuQuota, IsThatOfTheGroupInVersion2) {
  write("/proc/self/cgroup", "0::/user.slice/rill.service\n");
  write("/sys/fs/cgroup/user.slice/rill.service/cpu.max", "150000 100000\n");
  EXPECT_EQ(cpu_quota(root().c_str()), 1.5);
}

TEST_F(CpuQuota, OfAGroupWithinAnotherIsTheSmaller) {
  write("/proc/self/cgroup", "0::/outer/inner\n");
  write("/sys/fs/cgroup/outer/inner/cpu.max", "400000 100000\n");
  write("/sys/fs/cgroup/outer/cpu.max", "50000 25000\n");
  EXPECT_EQ(cpu_quota(root().c_str()), 2.0);
  write("/sys/fs/cgroup/outer/cpu.max", "max 100000\n");
  EXPECT_EQ(cpu_quota(root().c_str()), 4.0);
}

TEST_F(CpuQuota, IsNoneWhereVersion2SaysMax) {
  write("/proc/self/cgroup", "0::/\n");
  write("/sys/fs/cgroup/cpu.max", "max 100000\n");
  EXPECT_FALSE(cpu_quota(root().c_str()));
}

TEST_F(CpuQuota, IsThatOfTheGroupOfItsControllerInVersion1) {
  write("/proc/self/cgroup",
        "4:memory:/m\n3:cpuset:/s\n2:cpu,cpuacct:/docker/0123\n1:name=systemd:/docker/0123\n0::/\n");
  write("/sys/fs/cgroup/cpu/docker/0123/cpu.cfs_quota_us", "300000\n");
  write("/sys/fs/cgroup/cpu/docker/0123/cpu.cfs_period_us", "100000\n");
  EXPECT_EQ(cpu_quota(root().c_str()), 3.0);
  write("/sys/fs/cgroup/cpu/docker/0123/cpu.cfs_quota_us", "-1\n");
  EXPECT_FALSE(cpu_quota(root().c_str()));
}

TEST_F(CpuQuota, IsFoundAtTheMountWhereThePathIsThatOfTheMachineOutside) {
  write("/proc/self/cgroup", "2:cpu:/kubepods/pod7/0123\n0::/../../other\n");
  write("/sys/fs/cgroup/cpu/cpu.cfs_quota_us", "200000\n");
  write("/sys/fs/cgroup/cpu/cpu.cfs_period_us", "100000\n");
  write("/sys/fs/cgroup/cpu.max", "250000 100000\n");
  EXPECT_EQ(cpu_quota(root().c_str()), 2.0);
}

TEST_F(CpuQuota, IsNoneWhereNothingOfItMakesSense) {
  write("/proc/self/cgroup", "\n:\n0:\n0::/a\n1:cpu:/a\n1:cpu:a\n");
  write("/sys/fs/cgroup/a/cpu.max", "-100000 100000");
  write("/sys/fs/cgroup/cpu.max", "100000 0");
  write("/sys/fs/cgroup/cpu/a/cpu.cfs_quota_us", "nan");
  write("/sys/fs/cgroup/cpu/cpu.cfs_quota_us", "100000");
  EXPECT_FALSE(cpu_quota(root().c_str()));
}

TEST(UsableCores, AreThoseThatAQuotaKeepsBusy) {
  EXPECT_EQ(cores_within({}, 8), 8U);
  EXPECT_EQ(cores_within(0.01, 8), 1U);
  EXPECT_EQ(cores_within(1.5, 8), 1U);
  EXPECT_EQ(cores_within(2.0, 8), 2U);
  EXPECT_EQ(cores_within(7.99, 8), 7U);
  EXPECT_EQ(cores_within(1e18, 8), 8U);
}

TEST(UsableCores, AreAtLeastOneAndNoMoreThanThereAre) {
  EXPECT_GE(usable_cores(), 1U);
  EXPECT_LE(usable_cores(), physical_cores());
}

}  // namespace
}  // namespace rill
