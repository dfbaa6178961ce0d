#include "apps/soak_watch.h"

#include <algorithm>
#include <cmath>
#include <cstdio>

#include "platform/allocation_watch.h"
#include "platform/process_memory.h"

namespace rill::apps {
namespace {

constexpr double kShortest_s = 1e-7;  // the first bucket's end
constexpr double kBucketWidth = 1.01;

}  // namespace

double QuarterNll::standard_error() const {
  if (blocks < 2) return 0;
  const auto n = static_cast<double>(blocks);
  const double mean = sum_of_blocks / n;
  const double variance = std::max(0.0, sum_of_squares / n - mean * mean) * n / (n - 1);
  return std::sqrt(variance / n);
}

void SoakWatch::begin() {
  start_ = Clock::now();
  allocations_before_ = allocations_so_far();
  look_at_memory();  // the first time its own code comes in
  rss_start_ = rss_most_ = rss_end_ = resident_bytes();
}

void SoakWatch::add(double seconds, double nll) {
  ++tokens_;
  const double bucket = std::log(std::max(seconds, kShortest_s) / kShortest_s) / std::log(kBucketWidth);
  ++times_[std::min(static_cast<std::size_t>(bucket), kBuckets - 1)];
  worst_s_ = std::max(worst_s_, seconds);
  seconds_ = std::chrono::duration<double>(Clock::now() - start_).count();
  report_nll_ += nll;

  QuarterNll& quarter = quarters_[std::min(static_cast<std::size_t>(4 * progress()), quarters_.size() - 1)];
  ++quarter.tokens;
  quarter.sum += nll;
  block_sum_ += nll;
  if (++block_tokens_ < kBlock) return;
  const double mean = block_sum_ / static_cast<double>(kBlock);
  ++quarter.blocks;
  quarter.sum_of_blocks += mean;
  quarter.sum_of_squares += mean * mean;
  block_sum_ = 0;
  block_tokens_ = 0;
}

/// The share of the run that is over, before the token that add() counts last.
double SoakWatch::progress() const {
  const double by_tokens =
      limits_.tokens == 0 ? 0 : static_cast<double>(tokens_ - 1) / static_cast<double>(limits_.tokens);
  const double by_time = limits_.hours == 0 ? 0 : seconds_ / (3600 * limits_.hours);
  return std::max(by_tokens, by_time);
}

bool SoakWatch::goes_on() const {
  return (limits_.tokens == 0 || tokens_ < limits_.tokens) && (limits_.hours == 0 || seconds_ < 3600 * limits_.hours);
}

void SoakWatch::look_at_memory() {
  if (const std::uint64_t now = resident_bytes(); now > 0) rss_end_ = now;  // an unread one counts as the one before
  rss_most_ = std::max(rss_most_, rss_end_);
  allocations_ = allocations_so_far() - allocations_before_;
}

void SoakWatch::print_line(std::string_view label) {
  const auto tokens = static_cast<double>(tokens_ - last_report_tokens_);
  const double seconds = seconds_ - last_report_s_;
  std::fprintf(stderr, "%.*s: %.1f min, %llu tokens, %.0f tokens/s, NLL %.3f, RSS %llu, allocations %llu\n",
               static_cast<int>(label.size()), label.data(), seconds_ / 60, static_cast<unsigned long long>(tokens_),
               seconds > 0 ? tokens / seconds : 0, tokens > 0 ? report_nll_ / tokens : 0,
               static_cast<unsigned long long>(rss_end_), static_cast<unsigned long long>(allocations_));
  last_report_s_ = seconds_;
  last_report_tokens_ = tokens_;
  report_nll_ = 0;
}

void SoakWatch::report() {
  if (seconds_ - last_report_s_ < limits_.report_every_s) return;
  look_at_memory();
  print_line("soak");
}

void SoakWatch::end() { look_at_memory(); }

double SoakWatch::median_s() const {
  std::uint64_t before = 0;
  std::size_t bucket = 0;
  while (bucket + 1 < kBuckets && before + times_[bucket] <= tokens_ / 2) before += times_[bucket++];
  return kShortest_s * std::pow(kBucketWidth, static_cast<double>(bucket) + 0.5);
}

double SoakWatch::longest_s() const {
  constexpr double kMedians = 20;
  constexpr double kLeast_s = 2;
  return limits_.longest_token_s > 0 ? limits_.longest_token_s : std::max(kMedians * median_s(), kLeast_s);
}

Status SoakWatch::verdict() const {
  const auto bug = [](const Text& what, const Text& expected) {
    return failed({.where = text("soak"),
                   .what = what,
                   .expected = expected,
                   .remedy = text("this is a bug in Rill: please report it")});
  };
  if (rss_start_ == 0) {
    return failed({.where = text("soak"),
                   .what = text("the system does not say how much memory is resident (/proc/self/statm)"),
                   .expected = {},
                   .remedy = text("mount /proc, or let the process open more files")});
  }
  if (rss_most_ > limits_.most_rss_bytes) {
    return bug(text("RSS was ", rss_most_, " bytes"),
               text("at most ", limits_.most_rss_bytes, ", the plan and some for the program itself"));
  }
  if (rss_most_ > rss_start_) {
    return bug(text("RSS went from ", rss_start_, " to ", rss_most_, " bytes"), text("not a page more"));
  }
  if (allocations_ > 0) return bug(text(allocations_, " allocations after the start"), text("none"));
  if (worst_s_ > longest_s()) {
    return failed({.where = text("soak"),
                   .what = text("a token took ", worst_s_, " s"),
                   .expected = text("at most ", longest_s(), " (--longest-token)"),
                   .remedy = text("run it on an idle machine; if it is one, this is a bug in Rill")});
  }
  if (tokens_ < kFewestTokens) {
    return failed({.where = text("soak"),
                   .what = text("it ended after ", tokens_, " tokens"),
                   .expected = text("at least ", kFewestTokens),
                   .remedy = text("let it run for longer")});
  }
  if (!std::isfinite(first_quarter().mean())) return bug(text("the NLL is no number"), {});
  if (last_quarter().tokens == 0) return {};  // it was ended early
  const double drift = std::abs(last_quarter().mean() - first_quarter().mean());
  const double chance = 5 * std::hypot(first_quarter().standard_error(), last_quarter().standard_error());
  const bool is_known = std::min(first_quarter().blocks, last_quarter().blocks) >= 4;
  if (!std::isfinite(drift)) return bug(text("the NLL is no number"), {});
  if (is_known && drift > limits_.drift_nats + chance) {
    return bug(text("the NLL of its own text went from ", first_quarter().mean(), " to ", last_quarter().mean()),
               text("a difference of at most ", limits_.drift_nats, " (--drift), and ", chance, " by chance"));
  }
  return {};
}

}  // namespace rill::apps
