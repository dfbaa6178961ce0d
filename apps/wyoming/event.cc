#include "apps/wyoming/event.h"

#include <algorithm>
#include <cstring>
#include <utility>

#include "quant/json_document.h"

namespace rill::apps {
namespace {

Status no_event(const Text& what, const Text& expected) {
  return bad_input({.where = text("Wyoming event"), .what = what, .expected = expected, .remedy = {}});
}

/// A length that a header gives; 0 if it gives none.
Result<std::size_t> length_of(const nlohmann::json& header, const char* key, std::size_t most) {
  const auto found = header.find(key);
  if (found == header.end() || found->is_null()) return std::size_t{0};
  if (!found->is_number_unsigned()) return no_event(text(key, " is no size"), text("a whole number"));
  const auto length = found->get<std::uint64_t>();
  if (length > most) return no_event(text(key, " is ", length), text("at most ", most));
  return static_cast<std::size_t>(length);
}

/// @param part  of the event, for messages
Result<nlohmann::json> parse_object(std::string_view bytes, std::string_view part, std::size_t most_values) {
  const Text where = text("Wyoming event, ", part);
  RILL_ASSIGN(nlohmann::json parsed, quant::parse_json(bytes, where,
                                                       {.bytes = WyomingReader::kMostData,
                                                        .depth = WyomingReader::kMostLevels,
                                                        .values = most_values,
                                                        .remedy = {}}));
  if (!parsed.is_object())
    return bad_input({.where = where, .what = text("no JSON object"), .expected = {}, .remedy = {}});
  return parsed;
}

}  // namespace

std::string WyomingEvent::text(std::string_view key) const {
  const auto found = data.find(std::string(key));
  return found != data.end() && found->is_string() ? found->get<std::string>() : std::string();
}

std::optional<std::uint64_t> WyomingEvent::whole(std::string_view key) const {
  const auto found = data.find(std::string(key));
  if (found == data.end() || !found->is_number_unsigned()) return std::nullopt;
  return found->get<std::uint64_t>();
}

std::uint32_t WyomingEvent::number(std::string_view key, std::uint32_t otherwise) const {
  const std::optional<std::uint64_t> value = whole(key);
  return value.has_value() && *value <= INT32_MAX ? static_cast<std::uint32_t>(*value) : otherwise;
}

std::string to_bytes(std::string_view type, const nlohmann::json& data, std::span<const char> payload) {
  const auto dump = [](const nlohmann::json& json) {
    return json.dump(-1, ' ', false, nlohmann::json::error_handler_t::replace);
  };
  nlohmann::json header = {{"type", type}};
  const std::string body = data.empty() ? std::string() : dump(data);
  if (!body.empty()) header["data_length"] = body.size();
  if (!payload.empty()) header["payload_length"] = payload.size();
  std::string bytes = dump(header) + "\n" + body;
  bytes.append(payload.begin(), payload.end());
  return bytes;
}

WyomingReader::WyomingReader(std::size_t most_payload, std::size_t most_values)
    : most_payload_(most_payload), most_values_(most_values), buffer_(bytes(most_payload)) {}

std::span<char> WyomingReader::room() {
  if (begin_ > 0) {
    std::memmove(buffer_.data(), buffer_.data() + begin_, end_ - begin_);
    end_ -= begin_;
    begin_ = 0;
  }
  return std::span(buffer_).subspan(end_);
}

Status WyomingReader::read_header(std::string_view line) {
  RILL_ASSIGN(nlohmann::json header, parse_object(line, "first line", most_values_));
  const auto type = header.find("type");
  if (type == header.end() || !type->is_string()) return no_event(text("it has no type"), text("a string"));
  RILL_ASSIGN(data_bytes_, length_of(header, "data_length", kMostData));
  RILL_ASSIGN(payload_bytes_, length_of(header, "payload_length", most_payload_ > 0 ? most_payload_ : kMostSkipped));
  WyomingEvent event;
  event.type = type->get<std::string>();
  if (const auto data = header.find("data"); data != header.end() && !data->is_null()) {
    if (!data->is_object()) return no_event(text("its data is no JSON object"), {});
    event.data = std::move(*data);
  }
  event_ = std::move(event);
  return {};
}

Status WyomingReader::read_data(std::string_view bytes) {
  RILL_ASSIGN(nlohmann::json data, parse_object(bytes, "data", most_values_));
  if (event_->data.empty()) {
    event_->data = std::move(data);
  } else {
    event_->data.update(data);
  }
  return {};
}

Result<std::optional<WyomingEvent>> WyomingReader::next() {
  const std::size_t skipped = std::min(skip_, end_ - begin_);
  skip_ -= skipped;
  begin_ += skipped;
  const std::string_view bytes(buffer_.data() + begin_, end_ - begin_);
  if (!event_.has_value()) {
    const std::size_t newline = bytes.find('\n', scanned_);
    scanned_ = bytes.size();
    if (std::min(newline, bytes.size()) > kLongestHeader) {
      return no_event(text("its first line does not end"), text("at most ", kLongestHeader, " bytes"));
    }
    if (newline == std::string_view::npos) return std::optional<WyomingEvent>();
    scanned_ = 0;
    begin_ += newline + 1;
    RILL_TRY(read_header(bytes.substr(0, newline)));
  }
  const std::size_t kept = most_payload_ > 0 ? payload_bytes_ : 0;
  if (end_ - begin_ < data_bytes_ + kept) return std::optional<WyomingEvent>();
  if (data_bytes_ > 0) RILL_TRY(read_data({buffer_.data() + begin_, data_bytes_}));
  begin_ += data_bytes_;
  event_->payload = {buffer_.data() + begin_, kept};
  begin_ += kept;
  skip_ = payload_bytes_ - kept;
  std::optional<WyomingEvent> event = std::move(event_);
  event_.reset();
  return event;
}

}  // namespace rill::apps
