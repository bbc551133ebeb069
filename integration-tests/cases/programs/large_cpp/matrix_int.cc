#include "matrix.h"
template int determinant(const Matrix<int, 3> &);
