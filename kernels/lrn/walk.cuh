// A thread walks through some channels of a pixel, with the window of SIZE channels in registers.
#pragma once
#include "../cuda/common.cuh"
#include "power.cuh"

constexpr int CHANNELS = 16;  // of a thread: few enough that one image fills a GPU

struct Piece {  // of a group's channels, first … last
  int first, last, lowest, highest;
  __device__ Piece(int C, int groups) {
    int width = C / groups, pieces = (width + CHANNELS - 1) / CHANNELS;
    int group = blockIdx.y / pieces;
    lowest = group * width;
    highest = lowest + width;
    first = lowest + blockIdx.y % pieces * CHANNELS;
    last = min(first + CHANNELS, highest);
  }
};

template <class R> struct Rule { R k, a, beta; };

template <bool POSITIVE, class R> __device__ __forceinline__ R taken(R x) { return POSITIVE && x <= R(0) ? R(0) : x; }

// x of channels c − SIZE/2 … c + SIZE/2 of a pixel, 0 outside the group; x is where channel 0 of the pixel lies. POSITIVE:
// x is taken through a ReLU as it is read.
template <class T, int SIZE, bool POSITIVE = false> struct Window {
  using R = Real<T>;
  static constexpr int HALF = SIZE / 2;
  R at[SIZE];

  __device__ Window(const T* x, const Piece& piece, int pixels) {
#pragma unroll
    for (int j = 1; j < SIZE; j++) {
      int c = piece.first - HALF + j - 1;
      at[j] = c >= piece.lowest && c < piece.highest ? taken<POSITIVE>(R(x[(long long)c * pixels])) : R(0);
    }
  }
  // The window moves to channel c; its scale.
  __device__ R move(const T* x, int c, const Piece& piece, int pixels, const Rule<R>& rule) {
#pragma unroll
    for (int j = 0; j + 1 < SIZE; j++) at[j] = at[j + 1];
    at[SIZE - 1] = c + HALF < piece.highest ? taken<POSITIVE>(R(x[(long long)(c + HALF) * pixels])) : R(0);
    R sum = R(0);
#pragma unroll
    for (int j = 0; j < SIZE; j++) sum += at[j] * at[j];
    return rule.k + rule.a * sum;
  }
};

// dx of a pixel's piece of channels; dy(c) is the gradient of y there. POSITIVE: x is
// taken through a ReLU, and dx back through it.
template <class T, int SIZE, bool POSITIVE, class Upstream>
__device__ __forceinline__ void walk_back(Upstream dy, const T* x, const Real<T>* scale, T* dx, const Piece& piece, int pixels,
                                          Real<T> a, Real<T> beta) {
  using R = Real<T>;
  constexpr int HALF = SIZE / 2;
  R window[SIZE];        // t of channels c − HALF … c + HALF; 0 outside the group
  R straight[HALF + 1];  // dy · s^(−β) of channels c … c + HALF
  R values[HALF + 1];    // x of them
  for (int c = piece.first - SIZE + 1; c < piece.last; c++) {  // the first SIZE − 1 turns only fill the window
#pragma unroll
    for (int j = 0; j + 1 < SIZE; j++) window[j] = window[j + 1];
#pragma unroll
    for (int j = 0; j < HALF; j++) straight[j] = straight[j + 1], values[j] = values[j + 1];
    int ahead = c + HALF;
    window[SIZE - 1] = straight[HALF] = values[HALF] = R(0);
    if (ahead >= piece.lowest && ahead < piece.highest) {
      long long i = (long long)ahead * pixels;
      R s = scale[i], power = inverse_power(s, beta);
      values[HALF] = taken<POSITIVE>(R(x[i]));
      straight[HALF] = dy(ahead) * power;
      window[SIZE - 1] = straight[HALF] * values[HALF] / s;
    }
    if (c < piece.first) continue;
    R sum = R(0);
#pragma unroll
    for (int j = 0; j < SIZE; j++) sum += window[j];
    R of_x = straight[0] - 2 * a * beta * values[0] * sum;
    dx[(long long)c * pixels] = T(!POSITIVE || values[0] > R(0) ? of_x : R(0));
  }
}
