#include "agora/train/options.h"

#include <algorithm>
#include <cmath>
#include <initializer_list>
#include <type_traits>

#include "absl/strings/escaping.h"
#include "absl/strings/str_cat.h"
#include "agora/base/text.h"
#include "agora/base/utf8.h"

namespace agora::train {
namespace {

// While the number of steps is still unknown the learning rate must not depend on it.
constexpr int64_t kWarmupMin = 30;

constexpr int64_t kMicroBatchesMax = 256;  // each has a thread of its own in a swarm

constexpr int64_t kSizeMax = int64_t{1}
                             << 24;  // as in config.json (model/config.h), where the rest is checked
constexpr int64_t kMegabytesMax = 1'000'000;
constexpr double kMinutesMax = 1e7;  // twenty years

Status expect(bool holds, const char* flag, std::string_view expected, double found) {
  if (holds) return absl::OkStatus();
  return absl::InvalidArgumentError(base::concat("--", flag, ": expected ", expected, ", found ", found));
}

Status expect_range(const char* flag, int64_t found, int64_t low, int64_t high) {
  return expect(low <= found && found <= high, flag, base::concat(low, " to ", high),
                static_cast<double>(found));
}

Status expect_not_negative(const char* flag, double found) {
  return expect(std::isfinite(found) && found >= 0, flag, "0 or more", found);
}

Status expect_one_of(std::initializer_list<const char*> known, const char* flag, const std::string& found) {
  std::string expected;
  for (const char* name : known) {
    if (name == found) return absl::OkStatus();
    expected += base::concat(expected.empty() ? "" : " or ", name);
  }
  return absl::InvalidArgumentError(
      base::concat("--", flag, ": expected ", expected, ", found ", base::in_quotes(found)));
}

// Options are saved as JSON, which is UTF-8.
Status check_texts(const TrainOptions& options) {
  Status status;
  for_each_option(options, [&](const char* flag, const auto& field, const char*) {
    if constexpr (std::is_same_v<std::decay_t<decltype(field)>, std::string>) {
      if (!status.ok() || base::is_utf8(field)) return;
      status = absl::InvalidArgumentError(base::concat("--", flag, ": expected UTF-8, found \"",
                                                       absl::CHexEscape(field), "\"; give it another name"));
    }
  });
  return status;
}

Status validate_model(const TrainOptions& o) {
  AGORA_RETURN_IF_ERROR(expect_range("vocabulary", o.vocabulary, 2, 1'000'000));
  AGORA_RETURN_IF_ERROR(expect_range("layers", o.layers, 1, kSizeMax));
  AGORA_RETURN_IF_ERROR(expect_range("width", o.width, 1, kSizeMax));
  AGORA_RETURN_IF_ERROR(expect_range("heads", o.heads, 1, kSizeMax));
  AGORA_RETURN_IF_ERROR(expect_range("kv-heads", o.kv_heads, 0, kSizeMax));
  AGORA_RETURN_IF_ERROR(expect_range("head-width", o.head_width, 0, kSizeMax));
  AGORA_RETURN_IF_ERROR(expect_range("experts", o.experts, 1, kSizeMax));
  AGORA_RETURN_IF_ERROR(expect_range("chosen", o.chosen, 1, kSizeMax));
  AGORA_RETURN_IF_ERROR(expect_range("groups", o.groups, 1, kSizeMax));
  AGORA_RETURN_IF_ERROR(expect(o.groups == 1 || o.selection == "grouped_top_k", "groups",
                               "1 without --selection grouped_top_k", static_cast<double>(o.groups)));
  AGORA_RETURN_IF_ERROR(expect_range("groups-chosen", o.groups_chosen, 1, o.groups));
  AGORA_RETURN_IF_ERROR(expect_range("hidden", o.hidden, 1, kSizeMax));
  AGORA_RETURN_IF_ERROR(expect_range("shared-hidden", o.shared_hidden, 0, kSizeMax));
  AGORA_RETURN_IF_ERROR(expect_range("patch", o.patch, 1, 4096));
  AGORA_RETURN_IF_ERROR(expect_not_negative("noise", o.noise));
  AGORA_RETURN_IF_ERROR(expect_not_negative("bias-rate", o.bias_rate));
  AGORA_RETURN_IF_ERROR(expect_not_negative("aux-loss", o.aux_loss));
  return expect_not_negative("z-loss", o.z_loss);
}

Status validate_optimizer(const TrainOptions& o) {
  AGORA_RETURN_IF_ERROR(expect(o.learning_rate > 0 && o.learning_rate < 10, "learning-rate",
                               "above 0, below 10", o.learning_rate));
  AGORA_RETURN_IF_ERROR(expect(o.learning_rate_end >= 0 && o.learning_rate_end <= 1, "learning-rate-end",
                               "0 to 1", o.learning_rate_end));
  AGORA_RETURN_IF_ERROR(expect_one_of({"cosine", "constant", "wsd"}, "schedule", o.schedule));
  AGORA_RETURN_IF_ERROR(expect(o.beta2 >= 0 && o.beta2 < 1, "beta2", "0 or more, below 1", o.beta2));
  AGORA_RETURN_IF_ERROR(expect_not_negative("weight-decay", o.weight_decay));
  AGORA_RETURN_IF_ERROR(expect(o.gradient_norm_max > 0, "gradient-norm-max", "above 0", o.gradient_norm_max));
  AGORA_RETURN_IF_ERROR(expect(o.average_rate > 0 && o.average_rate <= 2, "average-rate",
                               "above 0, at most 2", o.average_rate));
  return expect(o.average_momentum >= 0 && o.average_momentum < 1, "average-momentum", "0 or more, below 1",
                o.average_momentum);
}

Status validate_steps(const TrainOptions& o) {
  AGORA_RETURN_IF_ERROR(expect_not_negative("steps", static_cast<double>(o.steps)));
  AGORA_RETURN_IF_ERROR(expect((o.minutes > 0 && o.minutes <= kMinutesMax) || o.steps > 0, "minutes",
                               "a number above 0, at most 1e7", o.minutes));
  AGORA_RETURN_IF_ERROR(expect_not_negative("warmup", static_cast<double>(o.warmup)));
  AGORA_RETURN_IF_ERROR(expect(o.steps > 0 || o.warmup >= kWarmupMin, "warmup",
                               "30 steps or more unless --steps is given", static_cast<double>(o.warmup)));
  AGORA_RETURN_IF_ERROR(expect_range("sequence", o.sequence, 1, 1 << 20));
  AGORA_RETURN_IF_ERROR(expect_range("batch", o.batch, 1, 65536));
  AGORA_RETURN_IF_ERROR(
      expect(o.micro_batches >= 1 && o.micro_batches <= kMicroBatchesMax && o.batch % o.micro_batches == 0,
             "micro-batches", "1 to 256 that divide --batch", static_cast<double>(o.micro_batches)));
  AGORA_RETURN_IF_ERROR(expect_range("shift", o.shift, 0, 64));
  for (const auto& [flag, steps] :
       {std::pair{"validate-every", o.validate_every}, std::pair{"save-every", o.save_every},
        std::pair{"average-every", o.average_every}}) {
    AGORA_RETURN_IF_ERROR(expect(steps >= 1, flag, "1 or more", static_cast<double>(steps)));
  }
  return expect_not_negative("validate-rows", static_cast<double>(o.validate_rows));
}

}  // namespace

Status validate(const TrainOptions& o) {
  AGORA_RETURN_IF_ERROR(check_texts(o));
  AGORA_RETURN_IF_ERROR(expect_range("domain-mb-max", o.domain_mb_max, 0, kMegabytesMax));
  AGORA_RETURN_IF_ERROR(validate_model(o));
  AGORA_RETURN_IF_ERROR(validate_optimizer(o));
  AGORA_RETURN_IF_ERROR(validate_steps(o));
  AGORA_RETURN_IF_ERROR(expect_one_of({"bf16", "f32"}, "precision", o.precision));
  return expect(o.threads >= 0 && o.threads <= 1024, "threads", "0 (all) to 1024", o.threads);
}

StatusOr<model::ModelConfig> config_of(const TrainOptions& o) {
  AGORA_RETURN_IF_ERROR(validate(o));
  model::ModelConfig config;
  config.hidden_size = o.width;
  config.num_hidden_layers = o.layers;
  config.num_attention_heads = o.heads;
  config.num_key_value_heads = o.kv_heads > 0 ? o.kv_heads : o.heads;
  config.head_dim = o.head_width > 0 ? o.head_width : o.width / o.heads;
  config.moe_intermediate_size = o.hidden;
  config.shared_expert_intermediate_size = o.shared_hidden;
  config.qk_norm = o.qk_norm;
  config.tie_word_embeddings = o.tie;
  config.router_aux_loss_coef = o.aux_loss;
  config.router_z_loss_coef = o.z_loss;
  config.selection_bias_rate = o.bias_rate;
  config.gate.experts = o.experts;
  config.gate.chosen = o.chosen;
  // One weight divided by itself is 1, whatever the gate says: it would never learn.
  config.gate.renormalise = o.renormalise && (o.chosen > 1 || o.experts == 1);
  config.gate.noise = o.noise;
  config.gate.groups = o.groups;
  config.gate.groups_chosen = o.groups_chosen;
  config.gate.group_score_top = std::min(config.gate.group_score_top, o.experts / o.groups);
  config.gate.selection_bias = o.bias_rate > 0;
  AGORA_ASSIGN_OR_RETURN(config.gate.score, model::score_named(o.score));
  AGORA_ASSIGN_OR_RETURN(config.gate.selection, model::selection_named(o.selection));
  if (o.twin == "none") return config;
  if (o.twin != "dense" && o.twin != "wide") {
    return absl::InvalidArgumentError(absl::StrCat("--twin: expected none, dense or wide, found ", o.twin));
  }
  // A twin without a choice: one expert that every token meets.
  config.moe_intermediate_size = o.hidden * (o.twin == "dense" ? o.chosen : o.experts);
  config.gate = {.experts = 1, .chosen = 1, .renormalise = true};
  config.router_aux_loss_coef = config.router_z_loss_coef = config.selection_bias_rate = 0;
  return config;
}

}  // namespace agora::train
