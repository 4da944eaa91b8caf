// Buffer owns a matrix: 64-byte aligned, zeroed, huge pages where it is large. Every byte is counted by
// purpose.
//
//   Buffer<float> y(T, D, Purpose::activation);      y.view(), y.row(t)
//   auto scratch = Buffer<float>::uninitialised(T, D, Purpose::scratch);  // written whole before it is read
//
// Moves, does not copy. One writer at a time. Allocation failure aborts with the size asked for.
#pragma once

#include <array>
#include <atomic>
#include <cstdint>
#include <utility>

#include "agora/tensor/view.h"

namespace agora::tensor {

enum class Purpose : uint8_t { weight, optimizer, activation, gradient, scratch };
constexpr int kPurposes = 5;

// Bytes held now, by purpose and in all, and at each purpose's highest point. The process's own count:
// `agora train` prints it beside the peak that the operating system saw.
struct MemoryCount {
  std::array<int64_t, kPurposes> bytes{};
  std::array<int64_t, kPurposes> bytes_peak{};
  int64_t bytes_total = 0;
};
MemoryCount memory_count();

namespace internal {
enum class Contents : bool { undefined, zero };
void* allocate(int64_t bytes, Purpose purpose, Contents contents);  // nullptr for 0 bytes
void release(void* data, int64_t bytes, Purpose purpose);
}  // namespace internal

template <class T>
class Buffer {
 public:
  Buffer() = default;
  Buffer(int64_t rows, int64_t cols, Purpose purpose)
      : Buffer(rows, cols, purpose, internal::Contents::zero) {}
  static Buffer uninitialised(int64_t rows, int64_t cols, Purpose purpose) {
    return Buffer(rows, cols, purpose, internal::Contents::undefined);
  }
  ~Buffer() { internal::release(data_, bytes(), purpose_); }

  Buffer(Buffer&& other) noexcept
      : data_(std::exchange(other.data_, nullptr)),
        rows_(std::exchange(other.rows_, 0)),
        cols_(std::exchange(other.cols_, 0)),
        purpose_(other.purpose_) {}
  Buffer& operator=(Buffer&& other) noexcept {
    std::swap(data_, other.data_);
    std::swap(rows_, other.rows_);
    std::swap(cols_, other.cols_);
    std::swap(purpose_, other.purpose_);
    return *this;
  }

  T* data() { return data_; }
  const T* data() const { return data_; }
  int64_t rows() const { return rows_; }
  int64_t cols() const { return cols_; }
  int64_t size() const { return rows_ * cols_; }
  int64_t bytes() const { return size() * static_cast<int64_t>(sizeof(T)); }
  bool empty() const { return data_ == nullptr; }

  T* row(int64_t r) { return data_ + r * cols_; }
  const T* row(int64_t r) const { return data_ + r * cols_; }
  View<T> view() { return {data_, rows_, cols_}; }
  View<const T> view() const { return {data_, rows_, cols_}; }
  std::span<T> flat() { return {data_, static_cast<size_t>(size())}; }
  std::span<const T> flat() const { return {data_, static_cast<size_t>(size())}; }

 private:
  Buffer(int64_t rows, int64_t cols, Purpose purpose, internal::Contents contents)
      : data_(static_cast<T*>(internal::allocate(rows * cols * int64_t{sizeof(T)}, purpose, contents))),
        rows_(rows),
        cols_(cols),
        purpose_(purpose) {}

  T* data_ = nullptr;
  int64_t rows_ = 0;
  int64_t cols_ = 0;
  Purpose purpose_ = Purpose::scratch;
};

}  // namespace agora::tensor
