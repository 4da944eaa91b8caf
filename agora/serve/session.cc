#include "agora/serve/session.h"

#include "agora/base/check.h"
#include "agora/base/text.h"

namespace agora::serve {

StatusOr<std::unique_ptr<Session>> Session::create(const ServedTrunk& trunk,
                                                   const model::Tokenizer& tokenizer, AskRequest request) {
  AGORA_RETURN_IF_ERROR(validate(request));
  const model::ModelConfig& config = trunk.model->config();
  AGORA_ASSIGN_OR_RETURN(std::vector<int32_t> tokens, tokenizer.encode_prompt(request.prompt));
  const int64_t prompt_tokens = std::ssize(tokens);
  tokens.insert(tokens.end(), request.answered.begin(), request.answered.end());
  for (const int32_t token : tokens) {
    if (token >= 0 && token < config.vocab_size) continue;
    return absl::InvalidArgumentError(
        base::concat("ask: expected tokens from 0 to ", config.vocab_size - 1, ", found ", token));
  }
  std::unique_ptr<Session> session(new Session(trunk, tokenizer, std::move(request)));
  const AskRequest& asked = session->request_;
  session->prompt_tokens_ = prompt_tokens;
  session->sequence_ = std::make_unique<Sequence>(
      config, std::move(tokens), asked.sampler,
      AnswerLength{.answered = std::ssize(asked.answered), .tokens_max = asked.tokens_max});
  // Their text has been shown; what was held back of it has not.
  for (const int32_t token : asked.answered) {
    if (!session->finish()) session->text_.take(token);
  }
  return session;
}

Session::Session(const ServedTrunk& trunk, const model::Tokenizer& tokenizer, AskRequest request)
    : trunk_(trunk), request_(std::move(request)), text_(tokenizer, request_.stops, request_.tokens_max) {}

AskPart Session::advance() {
  AGORA_CHECK(!finish());
  const int64_t place = text_.tokens();
  const int32_t token = sequence_->sample();
  return {place, {token}, text_.take(token)};
}

}  // namespace agora::serve
