#pragma once
#include <array>
#include <cstddef>
template <class T, std::size_t N> struct Matrix {
    std::array<std::array<T, N>, N> rows;
};
template <class T, std::size_t N> T determinant(const Matrix<T, N> &matrix) {
    if constexpr (N == 1) {
        return matrix.rows[0][0];
    } else {
        T total{};
        for (std::size_t skip = 0; skip < N; skip++) {
            Matrix<T, N - 1> minor{};
            for (std::size_t row = 1; row < N; row++)
                for (std::size_t column = 0, out = 0; column < N; column++)
                    if (column != skip) minor.rows[row - 1][out++] = matrix.rows[row][column];
            total += (skip % 2 ? -1 : 1) * matrix.rows[0][skip] * determinant(minor);
        }
        return total;
    }
}
extern template int determinant(const Matrix<int, 3> &);
extern template double determinant(const Matrix<double, 2> &);
