#include "apps/wyoming/event.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <string>
#include <vector>

#include "apps/wyoming/conversations.h"

namespace rill::apps {
namespace {

/// All events of a stream that arrives `step` bytes at a time, as "type data payload"; the last entry is the error.
std::vector<std::string> read_all(std::string_view stream, std::size_t step, std::size_t most_payload = 1000) {
  WyomingReader reader(most_payload);
  std::vector<std::string> read;
  while (!stream.empty()) {
    const std::span<char> room = reader.room();
    const std::size_t size = std::min({step, stream.size(), room.size()});
    std::copy_n(stream.begin(), size, room.begin());
    stream.remove_prefix(size);
    reader.filled(size);
    for (;;) {
      const Result<std::optional<WyomingEvent>> event = reader.next();
      if (!event.ok()) {
        read.emplace_back(event.status().message());
        return read;
      }
      if (!event->has_value()) break;
      const WyomingEvent& e = **event;
      read.push_back(e.type + " " + e.data.dump() + " " + std::string(e.payload.begin(), e.payload.end()));
    }
  }
  return read;
}

TEST(WyomingReader, ReadsTheSameEventsHoweverTheBytesArrive) {
  const std::string stream =
      to_bytes("ping", {{"text", "a\nb"}}) + to_bytes("describe", nlohmann::json::object()) +
      "{\"type\":\"x\",\"data\":{\"a\":1,\"b\":2},\"data_length\":7,\"version\":\"1\"}\n{\"b\":3}" +
      to_bytes("audio-chunk", {{"rate", 16000}}, std::string_view("pcm\npcm"));
  const std::vector<std::string> expected = {R"(ping {"text":"a\nb"} )", "describe {} ", R"(x {"a":1,"b":3} )",
                                             "audio-chunk {\"rate\":16000} pcm\npcm"};
  for (std::size_t step = 1; step <= stream.size(); ++step) EXPECT_EQ(read_all(stream, step), expected) << step;
}

TEST(WyomingReader, DropsPayloadsThatNobodyKeeps) {
  const std::string payload(200'000, '\n');
  const std::string stream = to_bytes("audio-chunk", nlohmann::json::object(), payload) + to_bytes("ping", {});
  for (const std::size_t step : {std::size_t{1000}, std::size_t{70'000}, stream.size()}) {
    EXPECT_EQ(read_all(stream, step, 0), (std::vector<std::string>{"audio-chunk {} ", "ping {} "})) << step;
  }
}

TEST(WyomingReader, SaysWhatIsOverItsLimits) {
  const auto error = [](const std::string& stream) { return read_all(stream, 4096).back(); };
  EXPECT_EQ(error(std::string(WyomingReader::kLongestHeader + 1, 'x')),
            "Wyoming event: its first line does not end, expected at most 32768 bytes");
  EXPECT_EQ(error("{\"type\":\"a\",\"data_length\":65537}\n"),
            "Wyoming event: data_length is 65537, expected at most 65536");
  EXPECT_EQ(error("{\"type\":\"a\",\"payload_length\":1001}\n"),
            "Wyoming event: payload_length is 1001, expected at most 1000");
  EXPECT_EQ(error("{\"type\":\"a\",\"payload_length\":-1}\n"),
            "Wyoming event: payload_length is no size, expected a whole number");
  EXPECT_EQ(error("{\"data_length\":1}\n"), "Wyoming event: it has no type, expected a string");
}

/// An object takes some hundred bytes of memory, and three of text.
TEST(WyomingReader, SaysThatJsonHasTooManyValues) {
  const auto objects = [](std::size_t count) {
    std::string all = "{\"a\":[{}";
    for (std::size_t i = 1; i < count; ++i) all += ",{}";
    all += "]}";
    return "{\"type\":\"x\",\"data_length\":" + std::to_string(all.size()) + "}\n" + all;
  };
  EXPECT_EQ(read_all(objects(8190), 4096).back().substr(0, 10), "x {\"a\":[{}");  // besides the list and what it is in
  EXPECT_EQ(read_all(objects(8191), 4096).back(), "Wyoming event, data: more values, expected at most 8192");
}

/// Copying and writing JSON recurse: a stranger's brackets must not choose how deep.
TEST(WyomingReader, SaysThatJsonIsTooDeep) {
  const auto nested = [](std::size_t levels) {
    return "{\"a\":" + std::string(levels - 1, '[') + std::string(levels - 1, ']') + "}";
  };
  const auto inline_data = [&](std::size_t levels) { return "{\"type\":\"x\",\"data\":" + nested(levels) + "}\n"; };
  const auto data_behind = [&](std::size_t levels) {
    return "{\"type\":\"x\",\"data_length\":" + std::to_string(nested(levels).size()) + "}\n" + nested(levels);
  };
  const std::string first_line = "Wyoming event, first line: values inside one another, expected at most 32 levels";
  const std::string data = "Wyoming event, data: values inside one another, expected at most 32 levels";
  EXPECT_EQ(read_all(inline_data(31), 4096).back(), "x " + nested(31) + " ");  // the header is a level as well
  EXPECT_EQ(read_all(data_behind(32), 4096).back(), "x " + nested(32) + " ");
  EXPECT_EQ(read_all(inline_data(32), 4096).back(), first_line);
  EXPECT_EQ(read_all(data_behind(33), 4096).back(), data);
  EXPECT_EQ(read_all(data_behind(32'000), 4096).back(), data);
}

TEST(WyomingEvent, GivesNumbersOnlyThatAreInRange) {
  WyomingEvent event;
  event.data = {{"rate", 22050U}, {"negative", -1}, {"large", 1ULL << 31U}, {"text", "22050"}};
  EXPECT_EQ(event.number("rate", 1), 22050U);
  for (const char* key : {"negative", "large", "text", "absent"}) EXPECT_EQ(event.number(key, 1), 1U) << key;
}

TEST(ConversationPlaces, ForgetsTheOldestThatMayBeForgotten) {
  ConversationPlaces places(2);
  const auto none = [](std::string_view) { return false; };
  EXPECT_TRUE(places.find("a", none).is_new);
  EXPECT_TRUE(places.find("b", none).is_new);
  EXPECT_FALSE(places.find("a", none).is_new);
  EXPECT_EQ(places.find("c", none).place, places.find("c", none).place);
  EXPECT_FALSE(places.find("a", none).is_new) << "b was older";
  EXPECT_TRUE(places.find("b", none).is_new);  // in c's place, which is older than a
  EXPECT_TRUE(places.find("d", [](std::string_view key) { return key == "a"; }).is_new);
  EXPECT_FALSE(places.find("a", none).is_new) << "a was kept although it was the oldest";
  places.forget(places.find("a", none).place);
  EXPECT_TRUE(places.find("a", none).is_new) << "it had not begun";
}

}  // namespace
}  // namespace rill::apps
