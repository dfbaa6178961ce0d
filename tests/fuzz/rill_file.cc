// A .rill model file: opened, verified, started and streamed, and talked with if it has a chat form.

#include <algorithm>
#include <cstring>
#include <random>

#include "core/model_file.h"
#include "tests/fuzz/rill_parts.h"
#include "tests/fuzz/small_models.h"
#include "tests/fuzz/target.h"

using rill::format::Section;

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  rill::fuzz::AlignedBytes file(rill::fuzz::text_of(data, size));
  rill::fuzz::mend_checksums(file.span());
  const auto model = rill::ModelFile::view(file.span(), "input");
  if (!model.ok()) return 0;
  static_cast<void>(model->verify().ok());
  rill::fuzz::stream_a_while(*model);
  return 0;
}

#ifdef RILL_LIBFUZZER
// Structure-aware: a change to a field of the configuration, to the table of tensors, the tokenizer, the chat form or
// the weights, behind which everything else is right.

extern "C" std::size_t LLVMFuzzerMutate(std::uint8_t* data, std::size_t size, std::size_t max_size);

namespace {

constexpr std::size_t kMostWeights = std::size_t{48} * 1024;

void mutate_field(std::string& config, std::mt19937& random) {
  using rill::format::ConfigEntry;
  const std::size_t fields = config.size() / sizeof(ConfigEntry);
  if (fields == 0) return;
  char* const at = config.data() + random() % fields * sizeof(ConfigEntry) + offsetof(ConfigEntry, bits);
  std::uint64_t bits = 0;
  std::memcpy(&bits, at, sizeof bits);
  constexpr std::uint64_t kInteresting[] = {
      0, 1, 2, 3, 4, 8, 16, 32, 64, 255, ~std::uint64_t{0}, 0xffffffff, 0x80000000, 1ULL << 63U, 0x7ff8ULL << 48U};
  switch (random() % 4) {
    case 0:
      bits = kInteresting[random() % std::size(kInteresting)];
      break;
    case 1:
      bits = random() % 32;
      break;
    case 2:
      bits += random() % 2 == 0 ? 1 : ~std::uint64_t{0};
      break;
    default:
      bits ^= std::uint64_t{1} << random() % 64;
  }
  std::memcpy(at, &bits, sizeof bits);
}

void mutate_bytes(std::string& bytes, std::size_t most) {
  std::string room = bytes;
  room.resize(std::max(bytes.size() + 64, std::size_t{64}));
  const std::size_t size =
      LLVMFuzzerMutate(reinterpret_cast<std::uint8_t*>(room.data()), bytes.size(), std::min(room.size(), most));
  bytes.assign(room, 0, size);
}

}  // namespace

extern "C" std::size_t LLVMFuzzerCustomMutator(std::uint8_t* data, std::size_t size, std::size_t max_size,
                                               unsigned seed) {
  std::mt19937 random(seed);
  rill::fuzz::AlignedBytes file(rill::fuzz::text_of(data, size));
  rill::fuzz::mend_checksums(file.span());
  rill::fuzz::RillParts parts;
  const unsigned kind = random() % 8;
  if (kind == 0 || !rill::fuzz::take_apart(file.span(), parts)) return LLVMFuzzerMutate(data, size, max_size);
  if (kind <= 3) {
    for (unsigned times = 1 + random() % 3; times > 0; --times) mutate_field(parts[Section::kConfig], random);
    if (kind != 1) static_cast<void>(rill::fuzz::fit_tensors_to_config(parts, kMostWeights));
  } else {
    constexpr Section kSections[] = {Section::kTokenizer, Section::kTokenizer, Section::kWeights, Section::kChat,
                                     Section::kTensors};
    mutate_bytes(parts[kSections[random() % std::size(kSections)]], kMostWeights);
  }
  const std::string made = rill::fuzz::put_together(parts);
  if (made.size() > max_size) return LLVMFuzzerMutate(data, size, max_size);
  std::memcpy(data, made.data(), made.size());
  return made.size();
}
#endif
