// The worked run of the classic mixtures: vowels of speakers that training never heard.
//
//   AGORA_ASSIGN_OR_RETURN(const VowelData data, read_vowels(folder));
//   AGORA_ASSIGN_OR_RETURN(const Answers answers, train_and_answer(model, data.train, data.test, seed));
//   const double share = moe::classic::accuracy(answers.committee, data.test);
//
// Any thread (pure functions). recipes/vowel/README.md tells how the settings were chosen.
#pragma once

#include <string>
#include <vector>

#include "agora/moe/classic/examples.h"

namespace agora::cli {

using moe::classic::Examples;
using moe::classic::Matrix;

enum class ClassicMethod : uint8_t {
  competitive,  // gradient on the competitive loss of Jacobs et al. 1991
  cooperative,  // the same mixture under the error that the paper argues against
  tree,         // hierarchical mixture by EM
  localised,    // Gaussian gate by EM
  network,      // one network, no gate
};

struct ClassicModel {
  ClassicMethod method = ClassicMethod::competitive;
  int experts = 4;
  int hidden = 16;                // units of each expert (competitive, cooperative) or of the network
  std::vector<int> branching{4};  // tree
  double region_width = 0.8;      // localised
  double region_strength = 1000;  // localised
  double expert_decay = 2;
  double gate_decay = 3;
  int iterations = 200;
  int members =
      6;  // mixtures from different starts whose probabilities are averaged: an even gate above them
};

struct VowelData {
  Examples train;
  Examples test;
};

// FOLDER/vowel.train and FOLDER/vowel.test: CSV with the class, 1 to 11, in column y and numbers in columns
// x.1, x.2 and so on. InvalidArgument or NotFound names the file.
StatusOr<VowelData> read_vowels(const std::string& folder);

struct Answers {
  Matrix single;           // class probabilities of the first member alone, [N, classes]
  Matrix committee;        // the mean of all members
  Matrix responsibility;   // of the first member's experts for each row of `test`, [N, E]
  int64_t parameters = 0;  // of one member
};

// Inputs are centred and scaled by one factor, learnt from `train`. Labels of `test` are used for the
// responsibilities only. The same seed gives the same answers.
StatusOr<Answers> train_and_answer(const ClassicModel& model, const Examples& train, const Examples& test,
                                   uint64_t seed);

// The network whose parameters come closest to those of one member of `mixture` on such rows; `network` gives
// all but its method and units.
StatusOr<ClassicModel> equal_network(const ClassicModel& mixture, ClassicModel network,
                                     const Examples& train);

// One part of the training rows for each speaker: a fold leaves that speaker out. The rows of a speaker
// follow each other, 11 vowels by 6 frames. InvalidArgument: rows that are no multiple of that, or fewer than
// two speakers.
StatusOr<std::vector<VowelData>> speaker_folds(const Examples& train);

}  // namespace agora::cli
