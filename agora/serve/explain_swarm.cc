#include "agora/serve/explain_swarm.h"

#include <map>
#include <tuple>

#include "agora/base/text.h"
#include "agora/serve/trace_json.h"

namespace agora::serve {
namespace {

std::string name_of(swarm::ServedBy by) {
  switch (by) {
    case swarm::ServedBy::replica:
      return "replica";
    case swarm::ServedBy::hedge:
      return "hedge";
    case swarm::ServedBy::next_expert:
      return "next expert";
    case swarm::ServedBy::nobody:
      return "nobody";
  }
  return "unknown";
}

// Keeps who served what, until the trace of the same pass is there.
class ServedRecorder final : public swarm::MixObserver {
 public:
  void on_mix(LayerId layer, const moe::Route& route, std::span<const swarm::ServedChoice> served) override {
    for (int64_t t = 0; t < route.tokens(); ++t) {
      const auto begin = static_cast<size_t>(route.first[static_cast<size_t>(t)]);
      const auto end = static_cast<size_t>(route.first[static_cast<size_t>(t) + 1]);
      for (size_t i = begin; i < end; ++i) served_[{layer, t, ExpertId{route.expert[i]}}] = served[i];
    }
  }

  void write_into(std::vector<model::TokenTrace>& trace) const {
    for (size_t t = 0; t < trace.size(); ++t) {
      for (size_t l = 0; l < trace[t].layers.size(); ++l) {
        for (model::ChosenExpert& choice : trace[t].layers[l].choices) {
          const auto found =
              served_.find({LayerId{static_cast<int64_t>(l)}, static_cast<int64_t>(t), choice.expert});
          if (found == served_.end()) continue;  // needs no call
          const swarm::ServedChoice& served = found->second;
          const bool nobody = served.by == swarm::ServedBy::nobody;
          choice.served = model::ServedAt{nobody ? std::string() : served.host.text(), served.version,
                                          name_of(served.by), served.expert};
        }
      }
    }
  }

 private:
  std::map<std::tuple<LayerId, int64_t, ExpertId>, swarm::ServedChoice> served_;
};

}  // namespace

StatusOr<std::string> explain_swarm(Glance& glance, const model::Tokenizer& tokenizer,
                                    const std::string& name, const std::string& text) {
  if (glance.trunk.model == nullptr) return no_trunk_yet();
  if (text.size() > kPromptBytesMax) {
    return absl::InvalidArgumentError(
        base::concat("explain: expected at most ", kPromptBytesMax, " bytes of text, found ", text.size()));
  }
  ServedRecorder recorder;
  glance.mix_observer = &recorder;
  AGORA_ASSIGN_OR_RETURN(
      std::vector<model::TokenTrace> trace,
      model::trace_text(*glance.trunk.model, tokenizer, glance.compute, text, kExplainTokensMax));
  recorder.write_into(trace);
  Json json = {
      {"model", json_text(name)}, {"trunk_version", glance.trunk.version}, {"summary", Json::object()}};
  json["text"] = trace_json(trace);
  json["domains"] = Json::array();
  json["specialisation"] = nullptr;
  json["ablation"] = nullptr;
  return json.dump();
}

}  // namespace agora::serve
