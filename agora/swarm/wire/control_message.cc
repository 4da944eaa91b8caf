#include "agora/swarm/wire/control_message.h"

#include <cmath>

#include "agora/swarm/wire/message.h"

namespace agora::swarm {
namespace {

constexpr std::string_view kRelease = "release";
constexpr std::string_view kEndStep = "end of step";
constexpr size_t kEndStepBytes = 1 + 8 + 8 + 8 + 6 * 4;
constexpr moe::StepSettings kGivenUp{.step = 0};  // steps count from 1

bool in_range(const moe::StepSettings& s) {
  const float all[] = {s.learning_rate, s.beta1, s.beta2, s.epsilon, s.weight_decay, s.gradient_norm_max};
  for (const float value : all) {
    if (!std::isfinite(value) || value < 0) return false;
  }
  return s.step >= 1 && s.beta1 < 1 && s.beta2 < 1;
}

}  // namespace

peers::Payload encode_release(std::span<const moe::Ticket> tickets) {
  MessageWriter out(1 + 4 + 8 * tickets.size());
  out.put(kWireVersion);
  out.put(static_cast<uint32_t>(tickets.size()));
  for (const moe::Ticket ticket : tickets) out.put(ticket.value);
  return std::move(out).done();
}

StatusOr<std::vector<moe::Ticket>> read_release(base::Bytes bytes) {
  base::ByteReader in(bytes);
  AGORA_RETURN_IF_ERROR(read_version(in, kRelease));
  uint32_t count;
  if (!in.read_le(&count)) return too_short(kRelease);
  if (count > kReleasedMax || count * size_t{8} != in.remaining()) {
    return malformed(kRelease, "the number of tickets does not match its length");
  }
  std::vector<moe::Ticket> tickets(count);
  for (moe::Ticket& ticket : tickets) in.read_le(&ticket.value);
  return tickets;
}

peers::Payload encode_end_step(const EndStep& step) {
  const moe::StepSettings s = step.settings.value_or(kGivenUp);
  MessageWriter out(kEndStepBytes);
  out.put(kWireVersion);
  out.put(step.key.run);
  out.put(step.key.step);
  out.put(static_cast<uint64_t>(s.step));
  for (const float value :
       {s.learning_rate, s.beta1, s.beta2, s.epsilon, s.weight_decay, s.gradient_norm_max}) {
    out.put(value);
  }
  return std::move(out).done();
}

StatusOr<EndStep> read_end_step(base::Bytes bytes) {
  base::ByteReader in(bytes);
  AGORA_RETURN_IF_ERROR(read_version(in, kEndStep));
  EndStep step;
  uint64_t number;
  if (!in.read_le(&step.key.run) || !in.read_le(&step.key.step) || !in.read_le(&number)) {
    return too_short(kEndStep);
  }
  moe::StepSettings s;
  for (float* value :
       {&s.learning_rate, &s.beta1, &s.beta2, &s.epsilon, &s.weight_decay, &s.gradient_norm_max}) {
    if (!read_float(in, value)) return too_short(kEndStep);
  }
  AGORA_RETURN_IF_ERROR(ends_here(in, kEndStep));
  s.step = static_cast<int64_t>(number);
  if (s.step == kGivenUp.step) return step;
  if (!in_range(s)) return malformed(kEndStep, "the optimizer's numbers are out of range");
  step.settings = s;
  return step;
}

}  // namespace agora::swarm
