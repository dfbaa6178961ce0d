#pragma once
// What the voice loop tells, as lines of text or JSON; on a terminal with a level meter under them.

#include <array>
#include <cstdio>
#include <mutex>
#include <string_view>

#include "apps/voice/loop.h"

namespace rill::apps {

/// "[listening] ######....  -18 dB": the state and the loudest sample of late. @param peak  0 to 32768
using MeterLine = std::array<char, 64>;
std::string_view meter_line(VoiceState state, int peak, MeterLine& room);

/// Every thread of the loop may print.
class VoicePrinter {
 public:
  VoicePrinter(std::FILE* out, bool is_json);
  ~VoicePrinter() { wipe_meter(); }
  VoicePrinter(const VoicePrinter&) = delete;
  VoicePrinter& operator=(const VoicePrinter&) = delete;

  /// True on a terminal that can rewrite its last line, unless it is given JSON.
  bool has_meter() const { return has_meter_; }
  void print(const VoiceReport& report);
  void show_meter(VoiceState state, int peak);

 private:
  void wipe_meter();

  std::FILE* out_;
  bool is_json_;
  bool has_meter_;
  std::mutex mutex_;
  bool is_meter_shown_ = false;
};

}  // namespace rill::apps
