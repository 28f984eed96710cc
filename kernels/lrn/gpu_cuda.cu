// Local response normalisation: a thread walks through some channels of a pixel, with the window in registers.
//
// Math     s[c] = k + a · Σ_window x²;  y[c] = x[c] · s[c]^(−β)
//          dx[c] = dy[c] · s[c]^(−β) − 2aβ · x[c] · Σ_window t[j],  t[j] = dy[j] · x[j] · s[j]^(−β−1)
// Shapes   x, y, s, dy, dx (N, C, pixels); the window of SIZE channels is cut at the ends of a group
// Threads  grid (⌈pixels/128⌉, pieces of CHANNELS channels, images), block 128; neighbours are neighbouring pixels
// Traffic  each array once, and SIZE − 1 more channels for each piece of CHANNELS
// Change   against gpu_cuda/plain: every x is squared, and every term computed, once in place of SIZE times
#include "../cuda/common.cuh"
#include "power.cuh"

constexpr int CHANNELS = 16;  // of a thread: few enough that one image fills a GPU

struct Piece {  // of a group's channels, first … last of those of a pixel
  int first, last, lowest, highest;
  long long at;  // where channel 0 of the pixel lies
  __device__ Piece(int C, int groups, int pixels, int pixel) {
    int width = C / groups, pieces = (width + CHANNELS - 1) / CHANNELS;
    int group = blockIdx.y / pieces;
    lowest = group * width;
    highest = lowest + width;
    first = lowest + blockIdx.y % pieces * CHANNELS;
    last = min(first + CHANNELS, highest);
    at = (long long)blockIdx.z * C * pixels + pixel;
  }
};

template <class T, int SIZE>
__global__ void lrn(const T* x, T* y, T* scale, int C, int pixels, int groups, T k, T a, T beta) {
  int pixel = blockIdx.x * blockDim.x + threadIdx.x;
  if (pixel >= pixels) return;
  constexpr int HALF = SIZE / 2;
  Piece piece(C, groups, pixels, pixel);
  T window[SIZE];  // x of channels c − HALF … c + HALF; 0 outside the group
#pragma unroll
  for (int j = 1; j < SIZE; j++) {
    int c = piece.first - HALF + j - 1;
    window[j] = c >= piece.lowest && c < piece.highest ? x[piece.at + (long long)c * pixels] : T(0);
  }
  for (int c = piece.first; c < piece.last; c++) {
#pragma unroll
    for (int j = 0; j + 1 < SIZE; j++) window[j] = window[j + 1];
    window[SIZE - 1] = c + HALF < piece.highest ? x[piece.at + (long long)(c + HALF) * pixels] : T(0);
    T sum = T(0);
#pragma unroll
    for (int j = 0; j < SIZE; j++) sum += window[j] * window[j];
    T s = k + a * sum;
    long long i = piece.at + (long long)c * pixels;
    scale[i] = s;
    y[i] = window[HALF] * inverse_power(s, beta);
  }
}

template <class T, int SIZE>
__global__ void lrn_backward(const T* dy, const T* x, const T* scale, T* dx, int C, int pixels, int groups, T a, T beta) {
  int pixel = blockIdx.x * blockDim.x + threadIdx.x;
  if (pixel >= pixels) return;
  constexpr int HALF = SIZE / 2;
  Piece piece(C, groups, pixels, pixel);
  T window[SIZE];         // t of channels c − HALF … c + HALF; 0 outside the group
  T straight[HALF + 1];   // dy · s^(−β) of channels c … c + HALF
  T values[HALF + 1];     // x of them
  for (int c = piece.first - SIZE + 1; c < piece.last; c++) {  // the first SIZE − 1 turns only fill the window
#pragma unroll
    for (int j = 0; j + 1 < SIZE; j++) window[j] = window[j + 1];
#pragma unroll
    for (int j = 0; j < HALF; j++) straight[j] = straight[j + 1], values[j] = values[j + 1];
    int ahead = c + HALF;
    window[SIZE - 1] = straight[HALF] = values[HALF] = T(0);
    if (ahead >= piece.lowest && ahead < piece.highest) {
      long long i = piece.at + (long long)ahead * pixels;
      T s = scale[i], power = inverse_power(s, beta);
      values[HALF] = x[i];
      straight[HALF] = dy[i] * power;
      window[SIZE - 1] = straight[HALF] * values[HALF] / s;
    }
    if (c < piece.first) continue;
    T sum = T(0);
#pragma unroll
    for (int j = 0; j < SIZE; j++) sum += window[j];
    dx[piece.at + (long long)c * pixels] = straight[0] - 2 * a * beta * values[0] * sum;
  }
}
