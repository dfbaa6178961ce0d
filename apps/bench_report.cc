// What `rill bench` has measured, for people and for programs.

#include <algorithm>
#include <cmath>
#include <cstdio>
#include <string>

#include "apps/bench.h"
#include "apps/plan_report.h"

namespace rill::apps {
namespace {

using nlohmann::ordered_json;

double share_of_bandwidth(const BenchFindings& f, const SpeedRow& row) {
  return spread_of(row.tokens_per_s).median * row.bytes_per_token /
         f.limits.read_bytes_per_s(row.threads, row.bytes_per_token);
}

double share_of_peak(const BenchFindings& f, const SpeedRow& row) {
  return spread_of(row.tokens_per_s).median * row.macs_per_token / f.limits.at(row.threads).macs_per_s.most;
}

/// The limits of the most threads: what the keys of the machine itself say.
const ThreadLimits& widest(const BenchFindings& f) { return f.limits.by_threads.back(); }

/// A token's bytes at the first depth: what decides whether the model stays in the cache.
double working_set(const BenchFindings& f) { return f.decode.front().bytes_per_token; }

ordered_json json_of(const Spread& spread) {
  return {{"min", spread.least}, {"median", spread.median}, {"max", spread.most}};
}

ordered_json json_of(const Percentiles& p) {
  return {{"median_s", p.median_s},
          {"p99_s", p.p99_s},
          {"worst_s", p.worst_s},
          {"worst_over_median", p.worst_over_median()}};
}

ordered_json machine_json(const BenchFindings& f) {
  const MachineLimits& limits = f.limits;
  ordered_json json{{"cpu", limits.cpu},
                    {"kernels", f.kernels},
                    {"read_bytes_per_s", limits.read_bytes_per_s(widest(f).threads, working_set(f))},
                    {"int8_macs_per_s", widest(f).macs_per_s.most},
                    {"read_limit_of", limits.is_beyond_cache(working_set(f)) ? "memory" : "cache"},
                    {"threads", widest(f).threads},
                    {"last_level_cache_bytes", limits.last_level_cache_bytes},
                    {"memory_buffer_bytes", limits.memory_buffer_bytes},
                    {"cache_buffer_bytes", limits.cache_buffer_bytes},
                    {"pages", limits.pages},
                    {"weights_pages", f.weights_pages},
                    {"pinned", f.pinned},
                    {"by_threads", ordered_json::array()}};
  for (const ThreadLimits& t : limits.by_threads) {
    json["by_threads"].push_back({{"threads", t.threads},
                                  {"memory_bytes_per_s", json_of(t.memory_bytes_per_s)},
                                  {"cache_bytes_per_s", json_of(t.cache_bytes_per_s)},
                                  {"int8_macs_per_s", json_of(t.macs_per_s)}});
  }
  return json;
}

ordered_json decode_json(const BenchFindings& f) {
  ordered_json json = ordered_json::array();
  for (const SpeedRow& row : f.decode) {
    const Spread spread = spread_of(row.tokens_per_s);
    json.push_back({{"threads", row.threads},
                    {"depth", row.depth},
                    {"tokens_per_s", spread.median},
                    {"bytes_per_token", row.bytes_per_token},
                    {"of_bandwidth", share_of_bandwidth(f, row)},
                    {"read_bytes_per_s", f.limits.read_bytes_per_s(row.threads, row.bytes_per_token)},
                    {"macs_per_token", row.macs_per_token},
                    {"tokens", row.tokens},
                    {"tokens_per_s_spread", json_of(spread)}});
  }
  return json;
}

ordered_json prefill_json(const BenchFindings& f) {
  ordered_json json = ordered_json::array();
  for (const SpeedRow& row : f.prefill) {
    const Spread spread = spread_of(row.tokens_per_s);
    json.push_back({{"threads", row.threads},
                    {"tokens", row.tokens},
                    {"depth", row.depth},
                    {"tokens_per_s", spread.median},
                    {"of_peak", share_of_peak(f, row)},
                    {"int8_macs_per_s", f.limits.at(row.threads).macs_per_s.most},
                    {"macs_per_token", row.macs_per_token},
                    {"bytes_per_token", row.bytes_per_token},
                    {"tokens_per_s_spread", json_of(spread)}});
  }
  return json;
}

ordered_json latency_json(const Latency& latency) {
  ordered_json json = json_of(latency.token);
  json["tokens"] = latency.tokens;
  json["threads"] = latency.threads;
  json["worst_at"] = ordered_json::array();
  for (const SlowToken& slow : latency.worst) {
    json["worst_at"].push_back({{"position", slow.position}, {"seconds", slow.seconds}});
  }
  json["quarter_median_s"] = latency.quarter_s;
  json["busy_loop"] = json_of(latency.busy);
  return json;
}

/// Greatest over least.
double ratio_of(const std::vector<double>& counts) {
  const Spread spread = spread_of(counts);
  return spread.least > 0 ? spread.most / spread.least : 0;
}

void print_limits(const BenchFindings& f) {
  const MachineLimits& limits = f.limits;
  if (f.is_quick) std::printf("--quick: this shows that everything runs, not how fast\n");
  std::printf(
      "%s, kernels %.*s, threads %s\n", limits.cpu.c_str(), static_cast<int>(f.kernels.size()), f.kernels.data(),
      f.pinned ? "each on a CPU of its own" : "NOT pinned: more of them than CPUs, or the system does not allow it");
  std::printf("last-level cache %s; read over %s of memory and %s inside the cache, %.*s pages; weights: %.*s pages\n",
              limits.last_level_cache_bytes > 0 ? human_bytes(limits.last_level_cache_bytes).c_str() : "unknown",
              human_bytes(limits.memory_buffer_bytes).c_str(), human_bytes(limits.cache_buffer_bytes).c_str(),
              static_cast<int>(limits.pages.size()), limits.pages.data(), static_cast<int>(f.weights_pages.size()),
              f.weights_pages.data());
  std::printf("best, and (least, median) of %u repetitions\n\n", f.repetitions);
  std::printf("limits   threads   memory, GB/s            cache, GB/s             int8, GMAC/s\n");
  for (const ThreadLimits& t : limits.by_threads) {
    std::printf("         %7u", t.threads);
    for (const Spread& s : {t.memory_bytes_per_s, t.cache_bytes_per_s, t.macs_per_s}) {
      std::printf("  %7.1f (%5.1f, %5.1f)", s.most / 1e9, s.least / 1e9, s.median / 1e9);
    }
    std::printf("\n");
  }
}

void print_decode(const BenchFindings& f) {
  std::printf("\ndecode   threads   depth   tokens/s (least, most)      MB/token    GB/s   of limit\n");
  for (const SpeedRow& row : f.decode) {
    const Spread s = spread_of(row.tokens_per_s);
    std::printf("         %7u %7u   %8.1f (%6.1f, %6.1f)   %9.1f %7.1f    %5.1f%% of %s\n", row.threads, row.depth,
                s.median, s.least, s.most, row.bytes_per_token / 1e6, s.median * row.bytes_per_token / 1e9,
                100 * share_of_bandwidth(f, row), f.limits.is_beyond_cache(row.bytes_per_token) ? "memory" : "cache");
  }
}

void print_prefill(const BenchFindings& f) {
  std::printf("\nprefill  threads   depth   tokens/s (least, most)    MMAC/token  GMAC/s   of limit\n");
  for (const SpeedRow& row : f.prefill) {
    const Spread s = spread_of(row.tokens_per_s);
    std::printf("         %7u %7u   %8.1f (%6.1f, %6.1f)   %9.1f %7.1f    %5.1f%% of int8\n", row.threads, row.depth,
                s.median, s.least, s.most, row.macs_per_token / 1e6, s.median * row.macs_per_token / 1e9,
                100 * share_of_peak(f, row));
  }
}

void print_percentiles(const char* name, const Percentiles& p) {
  std::printf("         %-9s %9.3f %9.3f %9.3f %18.2f\n", name, 1e3 * p.median_s, 1e3 * p.p99_s, 1e3 * p.worst_s,
              p.worst_over_median());
}

void print_latency(const Latency& latency) {
  std::printf("\nlatency  %u tokens, %u threads; ms per token\n", latency.tokens, latency.threads);
  std::printf("                      median       p99     worst  worst over median\n");
  print_percentiles("token", latency.token);
  print_percentiles("busy loop", latency.busy);
  std::printf(
      "         the busy loop is a fixed number of dot products between the tokens, on the same threads: what it "
      "shows, the host does\n         medians by quarter of the stream:");
  for (const double seconds : latency.quarter_s) std::printf(" %.3f", 1e3 * seconds);
  std::printf("\n         worst at");
  for (const SlowToken& slow : latency.worst) {
    std::printf(" %llu (%.3f)", static_cast<unsigned long long>(slow.position), 1e3 * slow.seconds);
  }
  std::printf("\n");
}

}  // namespace

ordered_json json_of(const BenchFindings& f) {
  const Spread before = spread_of(f.streaming.before_s);
  const Spread after = spread_of(f.streaming.after_s);
  ordered_json json{{"model", f.model},
                    {"quick", f.is_quick},
                    {"repetitions", f.repetitions},
                    {"chunk", f.chunk},
                    {"window", f.window},
                    {"machine", machine_json(f)},
                    {"decode", decode_json(f)},
                    {"prefill", prefill_json(f)},
                    {"streaming",
                     {{"threads", f.streaming.threads},
                      {"before_s", before.median},
                      {"after_s", after.median},
                      {"ratio", after.median / before.median},
                      {"before_spread_s", json_of(before)},
                      {"after_spread_s", json_of(after)}}}};
  json["latency"] = f.latency ? latency_json(*f.latency) : ordered_json();
  json["instructions_per_token"] =
      f.instructions_per_token.empty() ? ordered_json() : json_of(spread_of(f.instructions_per_token));
  return json;
}

void print_report(const BenchFindings& f) {
  print_limits(f);
  print_decode(f);
  print_prefill(f);
  const double before = spread_of(f.streaming.before_s).median;
  const double after = spread_of(f.streaming.after_s).median;
  std::printf(
      "\nstream   a token costs %.3f ms just before the window of %u is full and %.3f ms once tokens leave it: "
      "%.3f times\n",
      1e3 * before, f.window, 1e3 * after, after / before);
  if (f.instructions_per_token.empty()) {
    std::printf("         instructions per token cannot be counted here\n");
  } else {
    std::printf("         %.0f instructions per token, most over least %.4f\n",
                spread_of(f.instructions_per_token).median, ratio_of(f.instructions_per_token));
  }
  if (f.latency) print_latency(*f.latency);
}

}  // namespace rill::apps
