// The bytes and multiply-adds that `rill bench` divides by, against sums made by hand.

#include "apps/model_cost.h"

#include <gtest/gtest.h>

namespace rill::apps {
namespace {

// One group per row of every matrix, so a row block is 16 x 32 weights and 16 scales of 2 bytes: 544, padded to 576.
ModelConfig small_config() {
  return {.hidden = 32,
          .layers = 2,
          .heads = 2,
          .kv_heads = 1,
          .head_size = 16,
          .mlp_width = 32,
          .vocabulary = 16,
          .tied_head = 1};
}
// qkv 4 blocks, out 2, gate_up 4, down 2, two norms of 32 floats: 12 * 576 + 256 = 7168 a layer. Head 576, final norm
// 128.
constexpr double kWeights = 2 * 7168 + 576 + 128;
// A key and a value of 16 bytes, each with a scale of 4, in two layers.
constexpr double kKey = 2 * 2 * 20;
// 64 x 32 + 32 x 32 + 64 x 32 + 32 x 32 in two layers; a score and a mixed value of 2 heads x 16 in two layers.
constexpr double kProjections = 2 * 6144;
constexpr double kHead = 16 * 32;
constexpr double kKeySeen = 2 * 2 * 32;

TEST(ModelCost, CountsEveryMatrixOnceAndTheKeysAndValuesThatATokenSees) {
  const ModelCost cost(small_config(), stream_policy(1, 3));
  EXPECT_EQ(cost.bytes(0), kWeights);
  EXPECT_EQ(cost.bytes(2), kWeights + 2 * kKey);
  EXPECT_EQ(cost.bytes(100), kWeights + 4 * kKey);  // the sink and the window
  EXPECT_EQ(cost.mean_bytes(0, 3), kWeights + 1 * kKey);
}

TEST(ModelCost, CountsTheEmbeddingOnlyWhereItIsTheHead) {
  ModelConfig untied = small_config();
  untied.tied_head = 0;
  EXPECT_EQ(ModelCost(untied, stream_policy(1, 3)).bytes(0), kWeights);
}

TEST(ModelCost, CountsTheHeadOfAPrefillOnceAndOfADecodeForEveryToken) {
  const ModelCost cost(small_config(), stream_policy(1, 3));
  // Tokens 0 and 1 see one and two keys.
  EXPECT_EQ(cost.prefill_macs(0, 2), 2 * kProjections + kHead + 3 * kKeySeen);
  EXPECT_EQ(cost.decode_macs(0, 2), 2 * kProjections + 2 * kHead + 3 * kKeySeen);
  EXPECT_EQ(cost.prefill_macs(100, 1), kProjections + kHead + 5 * kKeySeen);
}

TEST(ModelCost, ReadsTheLayersOnceForEachChunkOfAPrefill) {
  const ModelCost cost(small_config(), stream_policy(1, 1000));
  EXPECT_EQ(cost.prefill_bytes(0, 4, 4), kWeights);
  EXPECT_EQ(cost.prefill_bytes(0, 8, 4), 2 * kWeights - kHead * 18 / 16 + 4 * kKey);  // head: 576 bytes of 512 weights
}

TEST(ModelCost, CountsOfALayerWithAWindowOfItsOwnOnlyThatWindow) {
  ModelConfig local = small_config();
  local.layer_period = 2;
  local.local_layers = 0b01;
  local.local_window = 3;
  const ModelCost cost(local, stream_policy(0, 100));
  EXPECT_EQ(cost.bytes(50), kWeights + (50 + 3) * kKey / 2);
}

TEST(ModelCost, CountsTheExpertsThatATokenUses) {
  ModelConfig experts = small_config();
  experts.experts = 4;
  experts.experts_used = 2;
  // Two experts' gate_up and down are 6 blocks a layer more than one's; the router [4, 32] is a block.
  EXPECT_EQ(ModelCost(experts, stream_policy(0, 10)).bytes(0), kWeights + 2 * 7 * 576);
}

}  // namespace
}  // namespace rill::apps
