// The products of the grouped experts with oneDNN: the yardstick of expert_bf16_vs_onednn.
//
//   onednn_experts [--threads N] [--seconds S] [--shape D,H,EXPERTS,ROWS]...
//
// One JSON object a line, with the shape names of agora's own bench. Per expert, bf16 with f32 accumulation,
// weights packed beforehand in the layout that oneDNN chooses:
//   forward:   [rows, D] x [D, 2H], [rows, H] x [H, D]
//   backward:  dh = [rows, D] x [D, H], dx = [rows, 2H] x [2H, D], and the weight gradients, added in f32:
//              [2H, rows] x [rows, D], [D, rows] x [rows, H]
// Nothing else is counted: no dispatch, no activation, no weighting. Each case runs twice, with the threads
// inside a product and with one expert a thread, and the faster one is printed.
#include <omp.h>

#include <algorithm>
#include <chrono>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <string>
#include <unordered_map>
#include <vector>

#include "dnnl.hpp"

namespace {

using dnnl::memory;

struct Shape {
  int64_t d, h, experts, rows;
};

struct Options {
  int threads = 1;
  double seconds = 0.5;
  std::vector<Shape> shapes;
};

dnnl::engine& engine() {
  static dnnl::engine cpu(dnnl::engine::kind::cpu, 0);
  return cpu;
}

memory filled(const memory::desc& desc) {
  memory result(desc, engine());
  auto* bytes = static_cast<uint8_t*>(result.get_data_handle());
  // 0x3c3c is 0.0115 in bf16, and about that in f32.
  std::memset(bytes, 0x3c, desc.get_size());
  return result;
}

// c (=, +=) a . b, made once for a shape and run for many experts.
class Product {
 public:
  Product(const memory::desc& a, int64_t k, int64_t n, const memory::desc& c, bool packed_weights, bool add) {
    dnnl::primitive_attr attributes;
    if (add) {
      dnnl::post_ops sum;
      sum.append_sum(1.0f);
      attributes.set_post_ops(sum);
    }
    const auto layout = packed_weights ? memory::format_tag::any : memory::format_tag::ab;
    const memory::desc b({k, n}, memory::data_type::bf16, layout);
    primitive_desc_ = dnnl::matmul::primitive_desc(dnnl::matmul::desc(a, b, c), attributes, engine());
    primitive_ = dnnl::matmul(primitive_desc_);
  }

  memory::desc weights() const { return primitive_desc_.weights_desc(); }

  void run(dnnl::stream& stream, const memory& a, const memory& b, const memory& c) const {
    primitive_.execute(stream, {{DNNL_ARG_SRC, a}, {DNNL_ARG_WEIGHTS, b}, {DNNL_ARG_DST, c}});
  }

 private:
  dnnl::matmul::primitive_desc primitive_desc_;
  dnnl::matmul primitive_;
};

memory::desc bf16(int64_t rows, int64_t cols) {
  return {{rows, cols}, memory::data_type::bf16, memory::format_tag::ab};
}
memory::desc bf16_turned(int64_t rows, int64_t cols) {  // the transpose of a dense [cols, rows]
  return {{rows, cols}, memory::data_type::bf16, memory::format_tag::ba};
}
memory::desc f32(int64_t rows, int64_t cols) {
  return {{rows, cols}, memory::data_type::f32, memory::format_tag::ab};
}

class Mixture {
 public:
  explicit Mixture(const Shape& s)
      : shape_(s),
        in_(bf16(s.rows, s.d), s.d, 2 * s.h, bf16(s.rows, 2 * s.h), true, false),
        down_(bf16(s.rows, s.h), s.h, s.d, f32(s.rows, s.d), true, false),
        dhidden_(bf16(s.rows, s.d), s.d, s.h, bf16(s.rows, s.h), true, false),
        dx_(bf16(s.rows, 2 * s.h), 2 * s.h, s.d, f32(s.rows, s.d), true, false),
        din_(bf16_turned(2 * s.h, s.rows), s.rows, s.d, f32(2 * s.h, s.d), false, true),
        ddown_(bf16_turned(s.d, s.rows), s.rows, s.h, f32(s.d, s.h), false, true) {
    for (int64_t e = 0; e < s.experts; ++e) experts_.push_back(make_expert());
  }

  double operations() const {
    return 6.0 * static_cast<double>(shape_.d * shape_.h) * static_cast<double>(shape_.experts * shape_.rows);
  }

  void forward(dnnl::stream& stream, int64_t i) {
    const Expert& e = experts_[i];
    in_.run(stream, e.x, e.in, e.pre);
    down_.run(stream, e.hidden, e.down, e.out);
  }

  void backward(dnnl::stream& stream, int64_t i) {
    const Expert& e = experts_[i];
    dhidden_.run(stream, e.dy, e.down_turned, e.dhidden);
    dx_.run(stream, e.pre, e.in_turned, e.dx);
    din_.run(stream, e.pre_turned, e.x, e.din);
    ddown_.run(stream, e.dy_turned, e.hidden, e.ddown);
  }

 private:
  struct Expert {
    memory in, down, in_turned, down_turned, din, ddown;
    memory x, pre, hidden, out, dy, dhidden, dx, pre_turned, dy_turned;
  };

  Expert make_expert() const {
    const Shape& s = shape_;
    Expert e;
    e.in = filled(in_.weights());
    e.down = filled(down_.weights());
    e.in_turned = filled(dx_.weights());
    e.down_turned = filled(dhidden_.weights());
    e.din = filled(f32(2 * s.h, s.d));
    e.ddown = filled(f32(s.d, s.h));
    e.x = filled(bf16(s.rows, s.d));
    e.pre = filled(bf16(s.rows, 2 * s.h));
    e.hidden = filled(bf16(s.rows, s.h));
    e.out = filled(f32(s.rows, s.d));
    e.dy = filled(bf16(s.rows, s.d));
    e.dhidden = filled(bf16(s.rows, s.h));
    e.dx = filled(f32(s.rows, s.d));
    e.pre_turned = memory(bf16_turned(2 * s.h, s.rows), engine(), e.pre.get_data_handle());
    e.dy_turned = memory(bf16_turned(s.d, s.rows), engine(), e.dy.get_data_handle());
    return e;
  }

  Shape shape_;
  Product in_, down_, dhidden_, dx_, din_, ddown_;
  std::vector<Expert> experts_;
};

double now() {
  return std::chrono::duration<double>(std::chrono::steady_clock::now().time_since_epoch()).count();
}

// Seconds of the fastest of several runs of `work` over all experts.
template <class Work>
double best_seconds(const Options& options, const Shape& shape, bool expert_a_thread, Work work) {
  double best = 1e30;
  const double begin = now();
  for (int run = -1; run < 2 || now() - begin < options.seconds; ++run) {
    const double start = now();
    if (expert_a_thread) {
#pragma omp parallel num_threads(options.threads)
      {
        dnnl::stream stream(engine());
#pragma omp for schedule(dynamic)
        for (int64_t i = 0; i < shape.experts; ++i) work(stream, i);
      }
    } else {
      dnnl::stream stream(engine());
      for (int64_t i = 0; i < shape.experts; ++i) work(stream, i);
      stream.wait();
    }
    if (run >= 0) best = std::min(best, now() - start);  // the first one warms up
  }
  return best;
}

template <class Work>
void measure(const Options& options, const Shape& shape, const char* pass, double operations, Work work) {
  double seconds = best_seconds(options, shape, false, work);
  if (options.threads > 1) seconds = std::min(seconds, best_seconds(options, shape, true, work));
  std::printf(
      "{\"name\": \"onednn_experts\", \"shape\": \"D=%ld H=%ld experts=%ld rows=%ld %s\", "
      "\"threads\": %d, \"value\": %.1f, \"unit\": \"GFLOP/s\"}\n",
      static_cast<long>(shape.d), static_cast<long>(shape.h), static_cast<long>(shape.experts),
      static_cast<long>(shape.rows), pass, options.threads, operations / seconds * 1e-9);
  std::fflush(stdout);
}

void bench(const Options& options, const Shape& shape) {
  Mixture mixture(shape);
  measure(options, shape, "forward", mixture.operations(),
          [&](dnnl::stream& stream, int64_t i) { mixture.forward(stream, i); });
  measure(options, shape, "forward+backward", 3 * mixture.operations(), [&](dnnl::stream& stream, int64_t i) {
    mixture.forward(stream, i);
    mixture.backward(stream, i);
  });
}

bool parse(int argc, char** argv, Options& options) {
  for (int i = 1; i < argc; i += 2) {
    const std::string name = argv[i];
    if (i + 1 >= argc) return false;
    const char* value = argv[i + 1];
    if (name == "--threads") {
      options.threads = std::atoi(value);
    } else if (name == "--seconds") {
      options.seconds = std::atof(value);
    } else if (name == "--shape") {
      long d = 0, h = 0, experts = 0, rows = 0;
      if (std::sscanf(value, "%ld,%ld,%ld,%ld", &d, &h, &experts, &rows) != 4) return false;
      options.shapes.push_back({d, h, experts, rows});
    } else {
      return false;
    }
  }
  if (options.shapes.empty()) {
    for (const int64_t d : {512, 2048}) {
      for (const int64_t rows : {8, 32, 128, 512}) options.shapes.push_back({d, 1024, 32, rows});
    }
  }
  return options.threads >= 1;
}

}  // namespace

int main(int argc, char** argv) {
  Options options;
  if (!parse(argc, argv, options)) {
    std::fprintf(stderr, "usage: onednn_experts [--threads N] [--seconds S] [--shape D,H,EXPERTS,ROWS]...\n");
    return 2;
  }
  omp_set_num_threads(options.threads);
  for (const Shape& shape : options.shapes) bench(options, shape);
  return 0;
}
