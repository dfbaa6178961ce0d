#include "quant/json_document.h"

#include <gtest/gtest.h>

#include <nlohmann/json.hpp>
#include <string>

namespace rill::quant {
namespace {

using nlohmann::json;

/// Three megabytes of objects in one list is read in the time that its bytes take: what the parser's callback did for
/// each of them took half an hour.
TEST(JsonDocument, ReadsALongListInItsBytesTime) {
  std::string list = "{\"a\":[{}";
  for (int i = 0; i < 1'000'000; ++i) list += ",{}";
  const Result<json> parsed = parse_json(list + "]}", text("config.json"));
  ASSERT_TRUE(parsed.ok()) << parsed.status().message();
  EXPECT_EQ((*parsed)["a"].size(), 1'000'001U);
}

}  // namespace
}  // namespace rill::quant
