#include "tests/support/golden.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <cstring>
#include <limits>
#include <numeric>
#include <utility>

#include "quant/safetensors_file.h"

namespace rill {
namespace {

constexpr double kWorst = std::numeric_limits<double>::infinity();

bool comparable(std::span<const float> actual, std::span<const float> expected, std::size_t columns) {
  EXPECT_EQ(actual.size(), expected.size());
  const bool fits =
      actual.size() == expected.size() && columns != 0 && !expected.empty() && expected.size() % columns == 0;
  EXPECT_TRUE(fits) << expected.size() << " values do not make rows of " << columns;
  return fits;
}

double mean(std::span<const float> values) {
  return std::accumulate(values.begin(), values.end(), 0.0) / static_cast<double>(values.size());
}

double cosine(std::span<const float> a, std::span<const float> b) {
  const double mean_a = mean(a);
  const double mean_b = mean(b);
  double ab = 0;
  double aa = 0;
  double bb = 0;
  for (std::size_t i = 0; i < a.size(); ++i) {
    const double x = static_cast<double>(a[i]) - mean_a;
    const double y = static_cast<double>(b[i]) - mean_b;
    ab += x * y;
    aa += x * x;
    bb += y * y;
  }
  return ab / std::sqrt(aa * bb);
}

/// log(sum(exp(logits)))
double log_sum_exp(std::span<const float> logits) {
  const auto greatest = static_cast<double>(*std::ranges::max_element(logits));
  double sum = 0;
  for (const float logit : logits) sum += std::exp(static_cast<double>(logit) - greatest);
  return greatest + std::log(sum);
}

double kl_nats(std::span<const float> actual, std::span<const float> expected) {
  const double actual_sum = log_sum_exp(actual);
  const double expected_sum = log_sum_exp(expected);
  double divergence = 0;
  for (std::size_t i = 0; i < actual.size(); ++i) {
    const double log_p = static_cast<double>(expected[i]) - expected_sum;
    const double log_q = static_cast<double>(actual[i]) - actual_sum;
    divergence += std::exp(log_p) * (log_p - log_q);
  }
  return divergence;
}

}  // namespace

std::span<const float> GoldenTensor::row(std::size_t index) const {
  const bool inside = shape.size() == 2 && index < shape[0];
  EXPECT_TRUE(inside) << "row " << index << " of a tensor that does not have it";
  return inside ? std::span(floats).subspan(index * shape[1], shape[1]) : std::span<const float>();
}

std::vector<Token> GoldenTensor::tokens() const {
  std::vector<Token> out(ints.size());
  std::ranges::transform(ints, out.begin(), [](std::int32_t id) { return static_cast<Token>(id); });
  return out;
}

Result<Golden> Golden::load(const std::string& path) {
  RILL_ASSIGN(const auto file, quant::SafetensorsFile::open(path));
  Golden golden;
  for (const quant::SafetensorsTensor& tensor : file.tensors()) {
    GoldenTensor out;
    out.shape.assign(tensor.shape.begin(), tensor.shape.end());
    if (tensor.type->name == "I32") {
      out.ints.resize(tensor.elements);
      if (!out.ints.empty()) std::memcpy(out.ints.data(), file.bytes(tensor).data(), tensor.bytes);
    } else {
      out.floats.resize(tensor.elements);
      RILL_TRY(file.read_floats(tensor, 0, out.floats));
    }
    golden.tensors_.emplace(tensor.name, std::move(out));
  }
  return golden;
}

const GoldenTensor& Golden::operator[](std::string_view name) const {
  static const GoldenTensor kEmpty;
  const auto found = tensors_.find(name);
  EXPECT_NE(found, tensors_.end()) << "no golden tensor " << name;
  return found == tensors_.end() ? kEmpty : found->second;
}

double worst_row_cosine(std::span<const float> actual, std::span<const float> expected, std::size_t columns) {
  if (!comparable(actual, expected, columns)) return -kWorst;
  double worst = 1.0;
  for (std::size_t at = 0; at < actual.size(); at += columns) {
    const double row = cosine(actual.subspan(at, columns), expected.subspan(at, columns));
    if (std::isnan(row)) return -kWorst;
    worst = std::min(worst, row);
  }
  return worst;
}

double rms_over_deviation(std::span<const float> actual, std::span<const float> expected) {
  if (!comparable(actual, expected, expected.size())) return kWorst;
  const double centre = mean(expected);
  double error = 0;
  double variance = 0;
  for (std::size_t i = 0; i < actual.size(); ++i) {
    const auto value = static_cast<double>(expected[i]);
    error += (static_cast<double>(actual[i]) - value) * (static_cast<double>(actual[i]) - value);
    variance += (value - centre) * (value - centre);
  }
  const double ratio = std::sqrt(error / variance);
  return std::isnan(ratio) ? kWorst : ratio;
}

double mean_kl_nats(std::span<const float> actual, std::span<const float> expected, std::size_t columns) {
  if (!comparable(actual, expected, columns)) return kWorst;
  double sum = 0;
  for (std::size_t at = 0; at < actual.size(); at += columns) {
    sum += kl_nats(actual.subspan(at, columns), expected.subspan(at, columns));
  }
  const std::size_t rows = actual.size() / columns;
  const double average = sum / static_cast<double>(rows);
  return std::isnan(average) ? kWorst : average;
}

double largest_difference(std::span<const float> actual, std::span<const float> expected) {
  if (!comparable(actual, expected, expected.size())) return kWorst;
  double largest = 0;
  for (std::size_t i = 0; i < actual.size(); ++i) {
    const double difference = std::abs(static_cast<double>(actual[i]) - static_cast<double>(expected[i]));
    if (std::isnan(difference)) return kWorst;
    largest = std::max(largest, difference);
  }
  return largest;
}

double nll_nats(std::span<const float> logits, Token token) {
  EXPECT_LT(token, logits.size());
  return token < logits.size() ? log_sum_exp(logits) - static_cast<double>(logits[token]) : kWorst;
}

}  // namespace rill
