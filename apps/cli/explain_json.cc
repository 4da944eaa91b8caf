#include "apps/cli/explain_json.h"

#include "agora/serve/trace_json.h"

namespace agora::cli {
namespace {

using serve::Json;
using serve::json_text;
using serve::token_json;

Json table_json(const train::Table& table) {
  Json rows = Json::array();
  for (int64_t r = 0; r < table.rows; ++r) {
    Json row = Json::array();
    for (int64_t c = 0; c < table.cols; ++c) row.push_back(table.at(r, c));
    rows.push_back(std::move(row));
  }
  return rows;
}

Json information_json(const train::MutualInformation& information) {
  return {{"bits", information.bits},
          {"normalised", information.normalised},
          {"null_mean_bits", information.null_mean_bits},
          {"null_q95_bits", information.null_q95_bits},
          {"p_value", information.p_value},
          {"permutations", information.permutations},
          {"blocks", information.blocks}};
}

Json balance_json(const train::Balance& balance) {
  return {{"load_entropy", balance.load_entropy},
          {"load_entropy_max", balance.load_entropy_max},
          {"token_entropy", balance.token_entropy},
          {"max_violation", balance.max_violation},
          {"variation", balance.variation}};
}

Json top_tokens_json(const ExplainReport& report, const train::LayerSpecialisation& layer) {
  Json experts = Json::array();
  for (const std::vector<train::TopToken>& tokens : layer.top_tokens) {
    Json list = Json::array();
    for (const train::TopToken& token : tokens) {
      Json json = token_json(token_text(report, token.token));
      json.update({{"id", token.token}, {"count", token.count}, {"lift", token.lift}});
      list.push_back(std::move(json));
    }
    experts.push_back(std::move(list));
  }
  return experts;
}

Json specialisation_json(const ExplainReport& report) {
  if (!report.specialisation) return nullptr;
  Json layers = Json::array();
  for (const train::LayerSpecialisation& layer : report.specialisation->layers) {
    layers.push_back({{"tokens", layer.tokens},
                      {"choices", layer.choices},
                      {"load", layer.load},
                      {"mass_share", table_json(layer.mass_share)},
                      {"token_share", table_json(layer.token_share)},
                      {"information", information_json(layer.information)},
                      {"balance", balance_json(layer.balance)},
                      {"together", table_json(layer.together)},
                      {"together_lift", table_json(layer.together_lift)},
                      {"top_tokens", top_tokens_json(report, layer)}});
  }
  return {{"top_tokens_exact", report.specialisation->top_tokens_exact}, {"layers", std::move(layers)}};
}

Json ablation_json(const ExplainReport& report) {
  if (!report.ablation) return nullptr;
  Json layers = Json::array();
  for (const std::vector<train::ExpertAblation>& experts : report.ablation->layers) {
    Json layer = Json::array();
    for (const train::ExpertAblation& expert : experts) {
      layer.push_back({{"loss_change", expert.loss_change}, {"changed_share", expert.changed_share}});
    }
    layers.push_back(std::move(layer));
  }
  return {
      {"loss", report.ablation->loss}, {"tokens", report.ablation->tokens}, {"layers", std::move(layers)}};
}

}  // namespace

Json explain_json(const ExplainReport& report) {
  Json json = {{"model", json_text(report.model)}, {"summary", Json::object()}};
  for (const auto& [label, value] : report.summary) json["summary"][json_text(label)] = json_text(value);
  json["text"] = serve::trace_json(report.trace);
  json["domains"] = Json::array();
  for (const std::string& domain : report.domains) json["domains"].push_back(json_text(domain));
  json["specialisation"] = specialisation_json(report);
  json["ablation"] = ablation_json(report);
  return json;
}

}  // namespace agora::cli
