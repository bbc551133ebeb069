#pragma once
long sum_of_squares_by(int threads, long count);
