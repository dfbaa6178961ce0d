#include "quant/sentencepiece_merges.h"

#include <map>
#include <set>
#include <vector>

#include "core/sentencepiece_proto.h"
#include "quant/sentencepiece_model.h"

namespace rill::quant {
namespace {

constexpr float kNeverFirst = -16777216.0F;  // below minus any rank

Status inexact(const Text& where, const Text& what, const Text& expected) {
  return bad_input({.where = where,
                    .what = what,
                    .expected = expected,
                    .remedy = text("put the model's tokenizer.model beside it, which is used instead")});
}

bool has_type(const RankedMerges& merges, Token token, PieceType type) {
  return merges.types[token] == static_cast<std::int32_t>(type);
}
bool is_normal(const RankedMerges& merges, Token token) { return has_type(merges, token, PieceType::kNormal); }

class Scores {
 public:
  Scores(const RankedMerges& merges, const Text& where) : merges_(merges), where_(where) {}

  Result<std::vector<float>> find() {
    for (std::size_t id = 0; id < merges_.pieces.size(); ++id) {
      if (merges_.pieces[id].size() > kMostPieceBytes) {
        return inexact(text(where_, ", token ", id), text(merges_.pieces[id].size(), " bytes"),
                       text("at most ", kMostPieceBytes));
      }
      const auto token = static_cast<Token>(id);
      if (is_normal(merges_, token)) ids_.emplace(merges_.pieces[id], token);
      if (has_type(merges_, token, PieceType::kUserDefined)) found_whole_.insert(merges_.pieces[id]);
    }
    scores_.assign(merges_.pieces.size(), kNeverFirst);
    RILL_TRY(read_ranks());
    RILL_TRY(check_every_split());
    return std::move(scores_);
  }

 private:
  Status read_ranks() {
    Token latest = kNoToken;
    float score = 0.0F;
    for (std::size_t rank = 0; rank < merges_.pairs.size(); ++rank) {
      const auto [left, right] = merges_.pairs[rank];
      // What is found whole before any merge never meets one.
      const auto is_found_whole = [&](const std::string& piece) { return found_whole_.contains(piece); };
      if (is_found_whole(merges_.pieces[left]) || is_found_whole(merges_.pieces[right]) ||
          is_found_whole(merges_.pieces[left] + merges_.pieces[right])) {
        continue;
      }
      const auto found = ids_.find(merges_.pieces[left] + merges_.pieces[right]);
      const Text at = text(where_, ", merge ", rank);
      if (!is_normal(merges_, left) || !is_normal(merges_, right) || found == ids_.end()) {
        return inexact(at, text("not of two ordinary tokens that make a third"), {});
      }
      pairs_.insert(merges_.pairs[rank]);
      if (found->second == latest) continue;
      latest = found->second;
      if (scores_[latest] != kNeverFirst) {
        return inexact(at, text("makes token ", latest, ", as an earlier merge did"),
                       text("merges that make the same token side by side"));
      }
      scores_[latest] = score--;  // as many as there are tokens at most, so exact in a float
    }
    return {};
  }

  Status check_every_split() const {
    for (const auto& [piece, id] : ids_) {
      for (std::size_t cut = 1; cut < piece.size(); ++cut) {
        const auto left = ids_.find(piece.substr(0, cut));
        if (left == ids_.end()) continue;
        const auto right = ids_.find(piece.substr(cut));
        if (right == ids_.end() || pairs_.contains({left->second, right->second})) continue;
        return inexact(text(where_, ", token ", id),
                       text("no merge of ", left->second, " and ", right->second, " makes it"),
                       text("a merge for every two tokens that it consists of"));
      }
    }
    return {};
  }

  const RankedMerges& merges_;
  const Text& where_;
  std::map<std::string, Token> ids_;  ///< the ordinary pieces
  std::set<std::string> found_whole_;
  std::set<std::pair<Token, Token>> pairs_;
  std::vector<float> scores_;
};

}  // namespace

Result<std::string> sentencepiece_from_merges(const RankedMerges& merges, const Text& where) {
  RILL_ASSIGN(const std::vector<float> scores, Scores(merges, where).find());
  const std::vector<std::string_view> pieces(merges.pieces.begin(), merges.pieces.end());
  std::string proto = build_sentencepiece_proto(pieces, scores, merges.types);
  if (!merges.space_in_front) proto += kNoDummyPrefix;
  return proto;
}

}  // namespace rill::quant
