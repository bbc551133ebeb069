#include "matrix.h"
template double determinant(const Matrix<double, 2> &);
