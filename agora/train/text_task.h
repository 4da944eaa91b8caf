// A text task of text that is at hand, not in files.
//
//   AGORA_ASSIGN_OR_RETURN(auto task, make_corpus_task(options, std::move(corpus), nullptr, pool));
//
// Any thread.
#pragma once

#include <memory>

#include "agora/train/corpus.h"
#include "agora/train/task.h"

namespace agora::train {

// As make_text_task(), which reads the corpus first; options.data is not looked at.
StatusOr<std::unique_ptr<Task>> make_corpus_task(const TrainOptions& options, Corpus corpus,
                                                 SharedTokenizer tokenizer, base::ThreadPool& pool);

}  // namespace agora::train
