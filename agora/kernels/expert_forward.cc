#include "agora/kernels/expert_ffn.h"
#include "agora/kernels/expert_plan.h"
#include "agora/tensor/fit.h"

namespace agora::kernels {
namespace {

// One call's work in one precision: three stages a wave, a barrier between them.
template <class T>
class Forward {
 public:
  Forward(const Compute& compute, View<const float> x, View<float> out, T* saved, int64_t saved_row)
      : compute_(compute),
        loops_(compute.table->loops<T>()),
        x_(x),
        out_(out),
        saved_(saved),
        saved_row_(saved_row) {}

  void run(const std::vector<Segment<T>>& wave) {
    round_inputs(wave);
    in_products(wave);
    down_products(wave);
  }

  static int64_t bytes_per_row(const ExpertPack& pack) {
    return (padded_d<T>(pack) + padded_h(pack)) * int64_t{sizeof(T)};
  }

  static void lay_out(std::vector<Segment<T>>& wave, Arena& arena) {
    for (Segment<T>& s : wave) {
      s.in_rows = arena.take<T>(s.rows * padded_d<T>(*s.pack));
      s.hidden_rows = arena.take<T>(s.rows * padded_h(*s.pack));
    }
  }

 private:
  void round_inputs(const std::vector<Segment<T>>& wave) const {
    const std::vector<Piece> pieces = cut_rows(jobs_of(wave, width_d, width_d), kPackRows);
    compute_.pool->run(static_cast<int64_t>(pieces.size()), [&](int64_t i) {
      const Piece& piece = pieces[i];
      const Segment<T>& s = wave[piece.job];
      const int64_t stride = padded_d<T>(*s.pack);
      for (int64_t r = piece.row; r < piece.row + piece.rows; ++r) {
        loops_.round(x_.row(s.tokens[r]), s.pack->d, stride, s.in_rows + r * stride);
      }
    });
  }

  void in_products(const std::vector<Segment<T>>& wave) const {
    const auto panels = [](const ExpertPack& pack) { return pack.in.panels(); };
    const std::vector<Piece> pieces = cut(jobs_of(wave, width_d, panels), compute_.pool->threads());
    compute_.pool->run(static_cast<int64_t>(pieces.size()), [&](int64_t i) {
      const Piece& piece = pieces[i];
      const Segment<T>& s = wave[piece.job];
      const int64_t stride = padded_d<T>(*s.pack);
      T* saved = saved_ == nullptr ? nullptr : saved_ + (s.entry + piece.row) * saved_row_;
      product_tiles(loops_, rows_of(s.in_rows + piece.row * stride, stride, piece.rows),
                    panels_of<T>(s.pack->in), piece.panel_begin, piece.panel_end,
                    rows_of(saved, saved_row_, piece.rows),
                    [&](int64_t panel, int64_t panels, const float* tile) {
                      activate(s, piece, panel, panels, tile);
                      if (s.pack->activation == Activation::linear) {
                        write(s, piece, s.pack->up_bias, panel, panels, tile);
                      }
                    });
    });
  }

  void activate(const Segment<T>& s, const Piece& piece, int64_t panel, int64_t panels,
                const float* tile) const {
    const ExpertPack& pack = *s.pack;
    const int64_t per_hidden = pack.activation == Activation::swiglu ? 2 : 1;
    const int64_t hidden_column = panel / per_hidden * kPanelWidth;
    const int64_t saved_at = (s.entry + piece.row) * saved_row_ + panel * kPanelWidth;
    loops_.activation_forward({.activation = pack.activation,
                               .rows = piece.rows,
                               .panels = panels / per_hidden,
                               .pre = tile,
                               .pre_row = kTileWidth,
                               .bias = pack.up_bias.empty() ? nullptr : pack.up_bias.data() + hidden_column,
                               .saved = saved_ == nullptr ? nullptr : saved_ + saved_at,
                               .saved_row = saved_row_,
                               .hidden = s.hidden_rows + piece.row * padded_h(pack) + hidden_column,
                               .hidden_row = padded_h(pack)});
  }

  void down_products(const std::vector<Segment<T>>& wave) const {
    const auto panels = [](const ExpertPack& pack) { return pack.down.panels(); };
    const std::vector<Piece> pieces = cut(jobs_of(wave, padded_h, panels), compute_.pool->threads());
    compute_.pool->run(static_cast<int64_t>(pieces.size()), [&](int64_t i) {
      const Piece& piece = pieces[i];
      const Segment<T>& s = wave[piece.job];
      const int64_t stride = padded_h(*s.pack);
      product_tiles(loops_, rows_of(s.hidden_rows + piece.row * stride, stride, piece.rows),
                    panels_of<T>(s.pack->down), piece.panel_begin, piece.panel_end,
                    rows_of(out_.row(s.entry + piece.row), out_.row_stride, piece.rows),
                    [&](int64_t panel, int64_t panels, const float* tile) {
                      write(s, piece, s.pack->down_bias, panel, panels, tile);
                    });
    });
  }

  // out = weight * (tile + bias)
  void write(const Segment<T>& s, const Piece& piece, const std::vector<float>& bias, int64_t panel,
             int64_t panels, const float* tile) const {
    const int64_t column = panel * kPanelWidth;
    const int64_t columns = std::min(panels * kPanelWidth, s.pack->d - column);
    for (int64_t r = 0; r < piece.rows; ++r) {
      const int64_t row = piece.row + r;
      compute_.table->write_row(tile + r * kTileWidth, bias.empty() ? nullptr : bias.data() + column,
                                s.weights[row], columns, Write::replace, out_.row(s.entry + row) + column);
    }
  }

  const Compute& compute_;
  const Loops<T>& loops_;
  View<const float> x_;
  View<float> out_;
  T* saved_;
  int64_t saved_row_;
};

template <class T>
void forward_as(const Compute& compute, View<const float> x, std::span<const ExpertGroup> groups,
                View<float> out, T* saved) {
  Forward<T> forward(compute, x, out, saved, saved_width(groups));
  run_waves<T>(compute, groups, forward);
}

}  // namespace

void experts_forward(const Compute& compute, View<const float> x, std::span<const ExpertGroup> groups,
                     View<float> out, ExpertSaved* saved) {
  for (const ExpertGroup& group : groups) {
    AGORA_CHECK_EQ(group.pack->d, x.cols);
    AGORA_CHECK(group.pack->in.precision() == compute.precision);
    AGORA_CHECK_LE(group.first_entry + group.rows, out.rows);
  }
  AGORA_CHECK_EQ(out.cols, x.cols);
  const int64_t width = saved_width(groups);
  if (compute.precision == Precision::bf16) {
    bf16* kept = saved == nullptr
                     ? nullptr
                     : tensor::fit(saved->hidden_bf16, out.rows, width, Purpose::activation).data;
    forward_as<bf16>(compute, x, groups, out, kept);
  } else {
    float* kept = saved == nullptr
                      ? nullptr
                      : tensor::fit(saved->hidden_f32, out.rows, width, Purpose::activation).data;
    forward_as<float>(compute, x, groups, out, kept);
  }
}

}  // namespace agora::kernels
