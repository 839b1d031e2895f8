"""SageMaker's XGBoost algorithm: what its container does in algorithm mode, for `train` and `serve`.

The contract is that of the open container (github.com/aws/sagemaker-xgboost-container) for XGBoost 3.x: its files, its
hyperparameters, its words, and its faults, which a model that goes to AWS meets there too.
"""
