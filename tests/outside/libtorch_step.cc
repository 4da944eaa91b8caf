// libtorch_step: how fast libtorch trains the model that `agora bench engine` trains: the yardstick of
// [train_step_vs_libtorch]. The same mathematics, written as one writes it for libtorch: composed operators,
// autograd, the usual loop over experts (index_select, three linears, index_add), clip_grad_norm_,
// torch::optim::AdamW.
//
//   build-outside/libtorch_step --threads 1,2 --dtype f32,bf16 --hidden 512
//
// Prints one JSON object a line for every pair of thread count and dtype (see README.md). bf16 means what it
// means in libtorch's own autocast: weights, gradients, optimizer, norms, softmax and residual stream stay
// f32, products run in bf16.
#include <malloc.h>
#include <unistd.h>

#include <algorithm>
#include <chrono>
#include <cmath>
#include <cstdio>
#include <cstdlib>
#include <map>
#include <sstream>
#include <stdexcept>
#include <string>
#include <vector>

#include <torch/torch.h>

namespace {

using torch::Tensor;
using torch::indexing::None;
using torch::indexing::Slice;

struct Settings {
  int64_t layers = 4;
  int64_t width = 256;  // D
  int64_t heads = 4;
  int64_t kv_heads = 4;
  int64_t hidden = 512;  // H
  int64_t experts = 16;  // E
  int64_t top_k = 2;     // K
  int64_t vocab = 1024;  // V
  int64_t sequence = 256;
  int64_t batch = 8;
  int64_t seed = 1;
  double seconds = 5;  // measured time for each line of output, warm-up not counted
  std::vector<std::string> threads = {"1", "2"};
  std::vector<std::string> dtypes = {"f32", "bf16"};

  int64_t head_width() const { return width / heads; }
};

constexpr double kNormEpsilon = 1e-6;
constexpr double kRopeTheta = 10000.0;
constexpr double kInitDeviation = 0.02;
constexpr double kGradientNormMax = 1.0;
constexpr int kWarmUpSteps = 3;
constexpr int kStepsMin = 5;

// Casts to the dtype of the products only where it must: in f32 it costs nothing.
Tensor linear(const Tensor& x, const Tensor& weight, torch::Dtype dtype) {
  return torch::linear(x.to(dtype), weight.to(dtype));
}

Tensor rms_norm(const Tensor& x, const Tensor& gain) {
  const Tensor f = x.to(torch::kFloat32);
  return f * torch::rsqrt(f.square().mean(-1, /*keepdim=*/true) + kNormEpsilon) * gain;
}

// What does not depend on weights: rotation angles and the causal mask, made once.
struct Positions {
  Tensor cosine;  // [sequence, head width]
  Tensor sine;
  Tensor mask;  // [sequence, sequence], 0 or -infinity
};

Positions make_positions(const Settings& s, torch::Dtype dtype) {
  const int64_t half = s.head_width() / 2;
  const Tensor exponent = torch::arange(half, torch::kFloat32) / static_cast<double>(half);
  const Tensor angle =
      torch::outer(torch::arange(s.sequence, torch::kFloat32), torch::pow(kRopeTheta, -exponent));
  const Tensor both = torch::cat({angle, angle}, -1);
  const Tensor mask = torch::full({s.sequence, s.sequence}, -INFINITY).triu(1).to(dtype);
  return {both.cos(), both.sin(), mask};
}

// x [batch, heads, sequence, A]
Tensor rope(const Tensor& x, const Positions& positions) {
  const int64_t half = x.size(-1) / 2;
  const Tensor turned =
      torch::cat({-x.index({"...", Slice(half, None)}), x.index({"...", Slice(None, half)})}, -1);
  return x * positions.cosine + turned * positions.sine;
}

struct Attention {
  Tensor query, key, value, out, query_gain, key_gain;
};

struct Expert {
  Tensor gate, up, down;
};

struct Block {
  Tensor attention_gain, mixture_gain;
  Attention attention;
  Tensor router;
  std::vector<Expert> experts;
};

// All parameters are f32 leaves.
class Model {
 public:
  Model(const Settings& settings, torch::Dtype dtype)
      : s_(settings), dtype_(dtype), positions_(make_positions(settings, dtype)) {
    const int64_t kv_width = s_.kv_heads * s_.head_width();
    embedding_ = weight(s_.vocab, s_.width);
    for (int64_t l = 0; l < s_.layers; ++l) {
      Block block;
      block.attention_gain = gain(s_.width);
      block.mixture_gain = gain(s_.width);
      block.attention = {weight(s_.width, s_.width), weight(kv_width, s_.width), weight(kv_width, s_.width),
                         weight(s_.width, s_.width), gain(s_.head_width()),      gain(s_.head_width())};
      block.router = weight(s_.experts, s_.width);
      for (int64_t e = 0; e < s_.experts; ++e) {
        block.experts.push_back(
            {weight(s_.hidden, s_.width), weight(s_.hidden, s_.width), weight(s_.width, s_.hidden)});
      }
      blocks_.push_back(std::move(block));
    }
    final_gain_ = gain(s_.width);
    head_ = weight(s_.vocab, s_.width);
  }

  const std::vector<Tensor>& parameters() const { return parameters_; }

  // ids, targets [batch, sequence] -> mean loss
  Tensor loss(const Tensor& ids, const Tensor& targets) const {
    Tensor x = torch::embedding(embedding_, ids);
    for (const Block& block : blocks_) {
      x = x + attend(block.attention, rms_norm(x, block.attention_gain));
      x = x + mix(block, rms_norm(x, block.mixture_gain).view({-1, s_.width})).view_as(x);
    }
    const Tensor logits = linear(rms_norm(x, final_gain_), head_, dtype_);
    return torch::cross_entropy_loss(logits.view({-1, s_.vocab}).to(torch::kFloat32), targets.view(-1));
  }

 private:
  Tensor weight(int64_t outputs, int64_t inputs) {
    return parameter(torch::randn({outputs, inputs}) * kInitDeviation);
  }
  Tensor gain(int64_t width) { return parameter(torch::ones(width)); }
  Tensor parameter(Tensor value) {
    value.requires_grad_(true);
    parameters_.push_back(value);
    return value;
  }

  // [batch, sequence, heads * A] -> [batch, heads, sequence, A]
  Tensor split_heads(const Tensor& x, int64_t heads) const {
    return x.view({s_.batch, s_.sequence, heads, s_.head_width()}).transpose(1, 2);
  }

  Tensor attend(const Attention& a, const Tensor& x) const {
    const Tensor input = x.to(dtype_);
    Tensor q = split_heads(linear(input, a.query, dtype_), s_.heads);
    Tensor k = split_heads(linear(input, a.key, dtype_), s_.kv_heads);
    Tensor v = split_heads(linear(input, a.value, dtype_), s_.kv_heads);
    q = rope(rms_norm(q, a.query_gain), positions_).to(dtype_);
    k = rope(rms_norm(k, a.key_gain), positions_).to(dtype_);
    if (s_.kv_heads != s_.heads) {
      k = k.repeat_interleave(s_.heads / s_.kv_heads, 1);
      v = v.repeat_interleave(s_.heads / s_.kv_heads, 1);
    }
    const double scale = 1.0 / std::sqrt(static_cast<double>(s_.head_width()));
    const Tensor scores = torch::matmul(q * scale, k.transpose(-2, -1)) + positions_.mask;
    const Tensor out = torch::matmul(torch::softmax(scores, -1), v);
    return linear(out.transpose(1, 2).reshape({s_.batch, s_.sequence, s_.width}), a.out, dtype_);
  }

  // x [T, D]. Choices are sorted by expert once, so that each expert's rows are one slice of the sorted list.
  Tensor mix(const Block& block, const Tensor& x) const {
    const Tensor scores = torch::softmax(torch::linear(x, block.router), -1);
    auto [chosen, expert] = torch::topk(scores, s_.top_k, -1);
    const Tensor weights = (chosen / chosen.sum(-1, /*keepdim=*/true)).view(-1);
    auto [sorted, order] = expert.view(-1).sort();
    const Tensor counts = torch::bincount(sorted, {}, s_.experts);
    const Tensor tokens = order.div(s_.top_k, "floor");

    const Tensor rows = x.to(dtype_);
    Tensor y = torch::zeros_like(x);
    int64_t begin = 0;
    for (int64_t e = 0; e < s_.experts; ++e) {
      const int64_t count = counts.data_ptr<int64_t>()[e];
      if (count == 0) continue;
      const Expert& w = block.experts[e];
      const Tensor mine = tokens.narrow(0, begin, count);
      const Tensor input = rows.index_select(0, mine);
      const Tensor hidden = torch::silu(linear(input, w.gate, dtype_)) * linear(input, w.up, dtype_);
      const Tensor output = linear(hidden, w.down, dtype_);
      const Tensor weight = weights.index_select(0, order.narrow(0, begin, count)).unsqueeze(-1);
      y = y.index_add_(0, mine, output * weight);
      begin += count;
    }
    return y;
  }

  Settings s_;
  torch::Dtype dtype_;
  Positions positions_;
  std::vector<Tensor> parameters_;
  Tensor embedding_, final_gain_, head_;
  std::vector<Block> blocks_;
};

struct Measured {
  std::vector<double> step_s;  // ascending
  double loss_first = 0;
  double loss_last = 0;
};

double seconds_since(std::chrono::steady_clock::time_point start) {
  return std::chrono::duration<double>(std::chrono::steady_clock::now() - start).count();
}

// Trains on one batch of random tokens, again and again: the loss must fall, which shows that the step is a
// whole one.
Measured measure(const Settings& s, torch::Dtype dtype) {
  torch::manual_seed(s.seed);
  Model model(s, dtype);
  torch::optim::AdamW optimizer(
      model.parameters(), torch::optim::AdamWOptions(1e-3).betas({0.9, 0.95}).eps(1e-8).weight_decay(0.1));
  const Tensor ids = torch::randint(s.vocab, {s.batch, s.sequence + 1}, torch::kInt64);
  const Tensor input = ids.narrow(1, 0, s.sequence).contiguous();
  const Tensor target = ids.narrow(1, 1, s.sequence).contiguous();

  Measured measured;
  const auto step = [&] {
    // Dropping the gradients is faster than zeroing them: backward then hands its results over instead of
    // adding.
    for (const Tensor& parameter : model.parameters()) parameter.mutable_grad() = Tensor();
    const Tensor loss = model.loss(input, target);
    loss.backward();
    torch::nn::utils::clip_grad_norm_(model.parameters(), kGradientNormMax);
    optimizer.step();
    measured.loss_last = loss.item<double>();
  };

  step();
  measured.loss_first = measured.loss_last;
  for (int i = 1; i < kWarmUpSteps; ++i) step();
  const auto start = std::chrono::steady_clock::now();
  while (measured.step_s.size() < kStepsMin || seconds_since(start) < s.seconds) {
    const auto step_start = std::chrono::steady_clock::now();
    step();
    measured.step_s.push_back(seconds_since(step_start));
  }
  std::sort(measured.step_s.begin(), measured.step_s.end());
  return measured;
}

void print(const Settings& s, const std::string& threads, const std::string& dtype, const Measured& m) {
  const double tokens = static_cast<double>(s.batch * s.sequence);
  std::printf(
      "{\"name\":\"libtorch_step\",\"threads\":%s,\"dtype\":\"%s\",\"tokens_per_s\":%.1f,"
      "\"tokens_per_s_best\":%.1f,\"steps\":%zu,\"loss_first\":%.4f,\"loss_last\":%.4f,"
      "\"layers\":%lld,\"width\":%lld,\"hidden\":%lld,\"experts\":%lld,\"top_k\":%lld,"
      "\"sequence\":%lld,\"batch\":%lld,\"vocab\":%lld}\n",
      threads.c_str(), dtype.c_str(), tokens / m.step_s[m.step_s.size() / 2], tokens / m.step_s.front(),
      m.step_s.size(), m.loss_first, m.loss_last, (long long)s.layers, (long long)s.width,
      (long long)s.hidden, (long long)s.experts, (long long)s.top_k, (long long)s.sequence,
      (long long)s.batch, (long long)s.vocab);
  std::fflush(stdout);
}

std::vector<std::string> split(const std::string& list) {
  std::vector<std::string> parts;
  std::stringstream in(list);
  for (std::string part; std::getline(in, part, ',');) parts.push_back(part);
  return parts;
}

// --name value ...; throws std::invalid_argument, which says what is wrong.
Settings parse(int argc, char** argv) {
  Settings s;
  const std::map<std::string, int64_t*> numbers = {
      {"--layers", &s.layers},     {"--width", &s.width},   {"--heads", &s.heads},
      {"--kv-heads", &s.kv_heads}, {"--hidden", &s.hidden}, {"--experts", &s.experts},
      {"--top-k", &s.top_k},       {"--vocab", &s.vocab},   {"--batch", &s.batch},
      {"--sequence", &s.sequence}, {"--seed", &s.seed}};
  for (int i = 1; i < argc; i += 2) {
    const std::string name = argv[i];
    if (i + 1 == argc) throw std::invalid_argument(name + " needs a value");
    const std::string value = argv[i + 1];
    if (const auto number = numbers.find(name); number != numbers.end()) {
      *number->second = std::stoll(value);
    } else if (name == "--seconds") {
      s.seconds = std::stod(value);
    } else if (name == "--threads") {
      s.threads = split(value);
    } else if (name == "--dtype") {
      s.dtypes = split(value);
    } else {
      throw std::invalid_argument(name + ": unknown; see the top of libtorch_step.cc");
    }
  }
  if (s.width % s.heads != 0 || s.heads % s.kv_heads != 0 || s.head_width() % 2 != 0) {
    throw std::invalid_argument("--width must divide by --heads, evenly for RoPE, and --heads by --kv-heads");
  }
  return s;
}

torch::Dtype dtype_named(const std::string& name) {
  if (name == "f32") return torch::kFloat32;
  if (name == "bf16") return torch::kBFloat16;
  throw std::invalid_argument("--dtype " + name + ": f32 or bf16");
}

// OpenBLAS (f32 products) looks at the processor when it is loaded, unless the environment names one: a name
// inherited from elsewhere may halve its speed, so it is dropped and the program started again. The allocator
// keeps what it has: giving pages back to the system and asking again costs a tenth of every step.
void let_libraries_do_their_best(char** argv) {
  mallopt(M_MMAP_THRESHOLD, 1 << 30);
  mallopt(M_TRIM_THRESHOLD, -1);
  if (std::getenv("OPENBLAS_CORETYPE") == nullptr) return;
  unsetenv("OPENBLAS_CORETYPE");
  execv("/proc/self/exe", argv);  // returns only if it fails: then the slower kernels must do
}

}  // namespace

int main(int argc, char** argv) {
  let_libraries_do_their_best(argv);
  try {
    const Settings settings = parse(argc, argv);
    for (const std::string& threads : settings.threads) {
      torch::set_num_threads(std::stoi(threads));
      for (const std::string& dtype : settings.dtypes) {
        print(settings, threads, dtype, measure(settings, dtype_named(dtype)));
      }
    }
  } catch (const std::exception& e) {
    std::fprintf(stderr, "libtorch_step: %s\n", e.what());
    return 2;
  }
  return 0;
}
