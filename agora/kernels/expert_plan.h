// How a call for many experts is cut: into waves that fit a bounded scratch memory, and each stage of a wave
// into pieces.
//
//   run_waves<T>(compute, groups, stages);                       // the call
//   std::vector<Piece> pieces = cut(jobs_of(wave, inner_of, panels_of), threads);   // in a stage
//
// A segment is a run of one group's rows; a wave holds at most one segment of a group, so that weight
// gradients are added in the order of the rows. The cut does not show in any result.
#pragma once

#include <cstdint>
#include <span>
#include <vector>

#include "agora/kernels/product.h"
#include "agora/kernels/table.h"
#include "agora/kernels/workspace.h"

namespace agora::kernels {

// Scratch of one wave: full from kWaveBytes on, so that its stages find each other's results in caches close
// by. An expert is cut only beyond kWaveBytesMax: its weights would be read once more for every part.
constexpr int64_t kWaveBytes = int64_t{4} << 20;
constexpr int64_t kWaveBytesMax = int64_t{24} << 20;

template <class T>
struct Segment {
  const ExpertPack* pack = nullptr;
  int64_t group = 0;  // index into the call's groups
  int64_t rows = 0;   // of this segment
  int64_t entry = 0;  // the first one
  const int32_t* tokens = nullptr;
  const float* weights = nullptr;

  // Scratch of the stages, in rows of the stated width or in panels whose inner dimension is the segment's
  // rows.
  T* in_rows = nullptr;        // D: x forward, dy backward
  T* hidden_rows = nullptr;    // H
  T* dpre_rows = nullptr;      // W
  T* x_panels = nullptr;       // D
  T* dy_panels = nullptr;      // D, times the entry's weight
  T* dpre_panels = nullptr;    // W
  T* hidden_panels = nullptr;  // H
  float* dots = nullptr;       // [rows, dots_of(pack)]

  int64_t panel() const { return panel_size<T>(rows); }
};

inline int64_t width_d(const ExpertPack& pack) { return pack.d; }
// Widths in elements, padded so that whole panels and whole steps fit. W is what the in-product gives: 2 H
// for swiglu.
template <class T>
int64_t padded_d(const ExpertPack& pack) {
  return steps_of<T>(pack.d) * kStep<T>;
}
inline int64_t padded_h(const ExpertPack& pack) { return round_up(pack.h, kPanelWidth); }
inline int64_t padded_w(const ExpertPack& pack) {
  return padded_h(pack) * (pack.activation == Activation::swiglu ? 2 : 1);
}
inline int64_t dots_of(const ExpertPack& pack) { return round_up(pack.h, kTileWidth) / kTileWidth; }
// The row length of ExpertSaved.
int64_t saved_width(std::span<const ExpertGroup> groups);

template <class T, class BytesPerRow>
std::vector<std::vector<Segment<T>>> plan_waves(std::span<const ExpertGroup> groups,
                                                BytesPerRow bytes_per_row) {
  std::vector<std::vector<Segment<T>>> waves(1);
  int64_t used = 0;
  for (size_t g = 0; g < groups.size(); ++g) {
    const ExpertGroup& group = groups[g];
    const int64_t row_bytes = bytes_per_row(*group.pack);
    const int64_t rows_max = std::max(kBlockRows, kWaveBytesMax / row_bytes / kBlockRows * kBlockRows);
    for (int64_t row = 0; row < group.rows;) {
      if (used >= kWaveBytes || row > 0) {
        waves.emplace_back();
        used = 0;
      }
      const int64_t rows = std::min(rows_max, group.rows - row);
      Segment<T> segment;
      segment.pack = group.pack;
      segment.group = static_cast<int64_t>(g);
      segment.rows = rows;
      segment.entry = group.first_entry + row;
      segment.tokens = group.tokens + row;
      segment.weights = group.weights + row;
      waves.back().push_back(segment);
      used += rows * row_bytes;
      row += rows;
    }
  }
  return waves;
}

// The products of a stage, one for each segment: its rows against a matrix of its pack, given by its two
// sizes.
template <class T, class Inner, class Panels>
std::vector<Job> jobs_of(const std::vector<Segment<T>>& wave, Inner inner_of, Panels panels_of_segment) {
  std::vector<Job> jobs;
  for (const Segment<T>& s : wave) jobs.push_back({s.rows, inner_of(*s.pack), panels_of_segment(*s.pack)});
  return jobs;
}

// Lays a wave out in scratch and runs the stages on it.
template <class T, class Stages>
void run_wave(CallWorkspace& workspace, std::vector<Segment<T>>& wave, Stages& stages) {
  Arena size;
  Stages::lay_out(wave, size);
  const Workspace::Lease lease = workspace.lease(size.used());
  Arena arena(lease.data());
  Stages::lay_out(wave, arena);
  stages.run(wave);
}

// On one wave after the other: Stages::lay_out(wave, arena) takes what the wave needs,
// Stages::bytes_per_row(pack) says how much that is, stages.run(wave) works in it.
template <class T, class Stages>
void run_waves(const Compute& compute, std::span<const ExpertGroup> groups, Stages& stages) {
  CallWorkspace workspace(compute);
  for (std::vector<Segment<T>>& wave : plan_waves<T>(groups, &Stages::bytes_per_row)) {
    run_wave(workspace, wave, stages);
  }
}

// Rows of a piece in stages that pack: even, so that pairs of rows stay together.
constexpr int64_t kPackRows = 32;

}  // namespace agora::kernels
