#include "tests/support/llama2_tokenizer_json.h"

#include <algorithm>
#include <nlohmann/json.hpp>
#include <string>
#include <unordered_map>
#include <vector>

#include "core/sentencepiece_proto.h"

namespace rill::test {

nlohmann::json tokenizer_json_of(std::string_view proto) {
  using nlohmann::json;
  struct Piece {
    std::string text;
    float score;
  };
  std::vector<Piece> pieces;
  const auto settings = read_sentencepiece_proto(proto, [&](std::uint32_t, const SentencePiece& piece) {
    pieces.push_back({std::string(piece.text), piece.score});
    return Status();
  });
  if (!settings.ok()) return {};
  std::unordered_map<std::string, std::size_t> ids;
  for (std::size_t id = 0; id < pieces.size(); ++id) ids.emplace(pieces[id].text, id);

  struct Merge {
    float score;
    std::string left;
    std::string right;
  };
  std::vector<Merge> merges;
  for (const Piece& piece : pieces) {
    std::vector<Merge> of_piece;
    for (std::size_t cut = 1; cut < piece.text.size(); ++cut) {
      Merge merge{piece.score, piece.text.substr(0, cut), piece.text.substr(cut)};
      if (ids.contains(merge.left) && ids.contains(merge.right)) of_piece.push_back(std::move(merge));
    }
    std::ranges::sort(of_piece, {}, [&](const Merge& merge) { return std::pair(ids[merge.left], ids[merge.right]); });
    std::ranges::move(of_piece, std::back_inserter(merges));
  }
  std::ranges::stable_sort(merges, std::ranges::greater(), &Merge::score);

  json vocabulary = json::object();
  for (const auto& [text, id] : ids) vocabulary[text] = id;
  json pairs = json::array();
  for (const Merge& merge : merges) pairs.push_back(merge.left + " " + merge.right);
  json added = json::array();
  for (std::size_t id = 0; id < 3; ++id) {
    added.push_back({{"id", id}, {"content", pieces[id].text}, {"normalized", false}, {"special", true}});
  }
  json root = json::parse(R"({
    "normalizer": {"type": "Sequence", "normalizers": [
      {"type": "Prepend", "prepend": "\u2581"},
      {"type": "Replace", "pattern": {"String": " "}, "content": "\u2581"}]},
    "pre_tokenizer": null,
    "post_processor": {"type": "TemplateProcessing", "single": [
      {"SpecialToken": {"id": "<s>", "type_id": 0}}, {"Sequence": {"id": "A", "type_id": 0}}]},
    "model": {"type": "BPE", "unk_token": "<unk>", "fuse_unk": true, "byte_fallback": true}})");
  root["added_tokens"] = std::move(added);
  root["model"]["vocab"] = std::move(vocabulary);
  root["model"]["merges"] = std::move(pairs);
  return root;
}

}  // namespace rill::test
