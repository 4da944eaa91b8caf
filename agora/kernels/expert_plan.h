// How a call for many experts is cut: into waves that fit a bounded scratch memory, and each stage of a wave into pieces.
//
//   for (const std::vector<Segment<T>>& wave : plan_waves<T>(groups, bytes_per_row)) ...
//   std::vector<Piece> pieces = cut(wave, [](const Segment<T>& s) { return s.pack->in.panels(); }, inner_of);
//
// A segment is a run of one group's rows; a wave holds at most one segment of a group, so that weight gradients are added
// in the order of the rows. The cut does not show in any result.
#pragma once

#include <cstdint>
#include <span>
#include <vector>

#include "agora/kernels/product.h"
#include "agora/kernels/table.h"

namespace agora::kernels {

// Scratch of one wave. A few experts of a few hundred rows: the stages of a wave then find each other's results in the
// last-level cache, while barriers between stages stay rare.
constexpr int64_t kWaveBytesMax = int64_t{24} << 20;

template <class T>
struct Segment {
  const ExpertPack* pack = nullptr;
  int64_t group = 0;       // index into the call's groups
  int64_t rows = 0;        // of this segment
  int64_t entry = 0;       // the first one
  const int32_t* tokens = nullptr;
  const float* weights = nullptr;

  // Scratch of the stages, in rows of the stated width or in panels whose inner dimension is the segment's rows.
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

// Widths in elements, padded so that whole panels and whole steps fit. W is what the in-product gives: 2 H for swiglu.
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
std::vector<std::vector<Segment<T>>> plan_waves(std::span<const ExpertGroup> groups, BytesPerRow bytes_per_row) {
  std::vector<std::vector<Segment<T>>> waves(1);
  int64_t left = kWaveBytesMax;
  for (size_t g = 0; g < groups.size(); ++g) {
    const ExpertGroup& group = groups[g];
    const int64_t row_bytes = bytes_per_row(*group.pack);
    for (int64_t row = 0; row < group.rows;) {
      const int64_t rows_left = group.rows - row;
      const int64_t fit = left / row_bytes / kBlockRows * kBlockRows;
      if (rows_left * row_bytes > left && !waves.back().empty()) {
        waves.emplace_back();
        left = kWaveBytesMax;
        continue;
      }
      const int64_t rows = std::min(rows_left, std::max(fit, kBlockRows));
      Segment<T> segment;
      segment.pack = group.pack;
      segment.group = static_cast<int64_t>(g);
      segment.rows = rows;
      segment.entry = group.first_entry + row;
      segment.tokens = group.tokens + row;
      segment.weights = group.weights + row;
      waves.back().push_back(segment);
      left -= rows * row_bytes;
      row += rows;
      if (row < group.rows) left = 0;
    }
  }
  return waves;
}

// A block of a segment's rows against a run of panels.
struct Piece {
  int32_t segment;
  int32_t row;
  int32_t rows;
  int32_t panel_begin;
  int32_t panel_end;
};

// All pieces of a product stage. Pieces that share weights come one after the other.
template <class T, class Panels, class Inner>
std::vector<Piece> cut(const std::vector<Segment<T>>& wave, Panels panels_of_segment, Inner inner_of_segment) {
  std::vector<Piece> pieces;
  for (size_t s = 0; s < wave.size(); ++s) {
    const int64_t panels = panels_of_segment(wave[s]);
    const int64_t each = panels_per_piece(std::min(wave[s].rows, kBlockRows), inner_of_segment(wave[s]), panels);
    for (int64_t p = 0; p < panels; p += each) {
      for (int64_t row = 0; row < wave[s].rows; row += kBlockRows) {
        pieces.push_back({static_cast<int32_t>(s), static_cast<int32_t>(row),
                          static_cast<int32_t>(std::min(kBlockRows, wave[s].rows - row)), static_cast<int32_t>(p),
                          static_cast<int32_t>(std::min(p + each, panels))});
      }
    }
  }
  return pieces;
}

// Blocks of rows for stages that pack: every piece covers all columns.
template <class T>
std::vector<Piece> cut_rows(const std::vector<Segment<T>>& wave) {
  constexpr int64_t kRows = 32;  // even: pairs of rows stay together
  std::vector<Piece> pieces;
  for (size_t s = 0; s < wave.size(); ++s) {
    for (int64_t row = 0; row < wave[s].rows; row += kRows) {
      pieces.push_back({static_cast<int32_t>(s), static_cast<int32_t>(row),
                        static_cast<int32_t>(std::min(kRows, wave[s].rows - row)), 0, 0});
    }
  }
  return pieces;
}

}  // namespace agora::kernels
